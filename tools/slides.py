"""Makes slides of the course's notebooks: `make slides`.

Each cell's metadata says where the cell is in the deck; `jupyter nbconvert --to slides`, Colab's
slideshow and jupyterlab-rise use it, too. A title or a section starts a slide to the right, so each
heading begins a cell. What no longer fits goes on a slide below, and so does an answer, for whoever
asks "Predict, then run" must not show it. On the decks, the code of pictures is left out, and
jupyterlab-rise and Colab, which run the cells, show it. The deck of the workshop has notes for the
speaker (press S), out of docs/INSTRUCTOR.md.

    python tools/slides.py            # sets the metadata of 01 to 06 and the workshop, writes decks
    python tools/slides.py --check    # writes nothing, names the notebooks that are out of date
    python tools/slides.py --measure  # opens the decks in Chromium: is a slide higher than 720 px?

The decks in build/slides load reveal.js from the web. To show them without a network, once:
npm install --prefix build/slides reveal.js@4.0.2 requirejs@2.3.6 jquery@3.7.1 mathjax@2.7.9
"""

import ast
import base64
import copy
import re
import shutil
import sys
from pathlib import Path

import nbformat
from described import with_descriptions
from nbconvert import SlidesExporter
from nbformat.v4 import new_markdown_cell

from nanogpt_lib.machine.files import whole_file

ROOT = Path(__file__).resolve().parent.parent
DECKS = ROOT / "build" / "slides"
NOTES = Path("docs") / "INSTRUCTOR.md"
WORKSHOP = "colab_workshop"
# Pixels, measured in Chromium. Text is 26 px high, code 19 px.
WIDTH, HEIGHT, ROOM = 1280, 720, 660
TEXT, CODE, PICTURE = 36, 25, 440  # a line of text, a line of code, the highest picture
CHARACTERS, MONOSPACED = 92, 105  # in a line of text, and of code
SMALL = (0.9, 0.8, 0.7)  # sizes for what does not fit otherwise
STYLE = f"""<style>
.reveal .slides section {{ text-align: left; font-size: 26px; line-height: 1.35; }}
.reveal .slides section section {{ max-height: {HEIGHT}px; overflow-y: auto; }}
.reveal h1, .reveal h2, .reveal h3 {{ text-transform: none; font-weight: 600; letter-spacing: 0; }}
.reveal h1 {{ font-size: 1.9em; }} .reveal h2 {{ font-size: 1.4em; }}
.reveal h3 {{ font-size: 1.15em; }}
.reveal pre {{ width: 100%; margin: 0; font-size: 19px; line-height: 1.3; box-shadow: none; }}
.reveal img {{ max-height: {PICTURE}px; max-width: 100%; margin: 0; }}
.reveal table {{ font-size: 0.85em; table-layout: auto; }} .reveal p {{ margin: 0.4em 0; }}
.jp-InputPrompt, .jp-OutputPrompt, .jp-Collapser {{ display: none; }}
{" ".join(f".celltag_size{size * 100:.0f} {{ zoom: {size}; }}" for size in SMALL)}
</style>
</head>"""
LOCAL = {  # what a deck loads, and its path in node_modules
    "reveal_url_prefix": "reveal.js",
    "require_js_url": "requirejs/require.js",
    "jquery_url": "jquery/dist/jquery.min.js",
    "mathjax_url": "mathjax/MathJax.js?config=TeX-AMS_CHTML-full,Safe",
}
# The height of each slide, and its first words. A slide that is not shown has no height.
SLIDES = """() => [...document.querySelectorAll('.slides > section > section')].map(slide => {
  for (const part of [slide.parentElement, slide]) {
    part.hidden = false
    part.style.display = 'block'
  }
  const found = [slide.scrollHeight, slide.innerText.trim().slice(0, 50)]
  for (const part of [slide, slide.parentElement]) part.style.display = 'none'
  return found
})"""


def at_headings(cells) -> list:
    """The cells, with Markdown cut where a heading stands in the middle of a cell."""
    found = []
    for cell in cells:
        parts, fenced = [[]], False
        for line in cell.source.split("\n"):
            fenced ^= line.startswith("```")
            if re.match(r"##+ ", line) and not fenced and any(parts[-1]):
                parts.append([])
            parts[-1].append(line)
        if cell.cell_type != "markdown" or len(parts) == 1:
            found.append(cell)
            continue
        for number, lines in enumerate(parts):
            part = copy.deepcopy(cell)
            part.source = "\n".join(lines).strip("\n")
            if number and "id" in cell:
                part.id = f"{cell.id[:60]}-{number + 1}"
            found.append(part)
    return found


def slide_types(cells) -> list[str]:
    """The place of each cell: "slide", "subslide", "-" (below the cell before) or "skip"."""
    kinds, used, asked, pictured, question = [], 0, False, False, False
    for cell in cells:
        kind, high = "-", height(cell, pictured)
        room = ROOM / SMALL[1] if question else ROOM  # a question stays with what it is about
        if left_out(cell):
            kind = "skip"
        elif re.match(r"##? ", cell.source) and cell.cell_type == "markdown":
            kind = "slide"
        elif "exercise" in cell.metadata:
            pass  # stays with its question
        elif cell.source.startswith("### ") or used + high > room:
            kind = "subslide"
        elif asked and cell.get("outputs"):
            kind = "subslide"  # an answer, or what an exercise's answer gives
        kinds.append(kind)
        if kind != "skip":
            used = high + (used if kind == "-" else 0)
            asks = "Predict, then run" in cell.source or "exercise" in cell.metadata
            asked = asks or (asked and kind == "-")
            begins = cell.source.startswith("### Exercise")
            question = begins or (question and "exercise" not in cell.metadata)
            pictured = shows_picture(cell)
    return kinds


def left_out(cell) -> bool:
    """Whether a cell only prepares what follows."""
    if cell.cell_type != "code" or "setup" in cell.metadata.get("tags", []):
        return cell.cell_type == "code"
    return all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(cell.source).body)


def shows_picture(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def without_code(cell, pictured: bool) -> bool:
    """Whether a cell's code is left out on a deck: it draws, or says what a picture has shown.

    pictured: whether the cell before shows a picture.
    """
    reports = pictured and cell.get("outputs") and "exercise" not in cell.metadata
    return shows_picture(cell) or bool(reports and not re.search(r"^(def|class) ", cell.source))


def is_a_look(cell) -> bool:
    """Whether a cell looks in on a training that had hardly begun when the output was stored."""
    if not re.match(r"background\.(look_in|wait)\(", cell.source):
        return False
    return "Finished" not in "".join(output.get("text", "") for output in cell.outputs)


def height(cell, pictured: bool = False) -> int:
    """The pixels that a cell takes on a slide, roughly; folds are closed on slides."""
    if cell.cell_type == "markdown":
        return sum(map(line_height, folded(cell.source).split("\n")))
    lines = 0 if without_code(cell, pictured) or not cell.source else cell.source.count("\n") + 1
    high = CODE * lines + 24 * bool(lines)
    for output in cell.get("outputs", []) if "exercise" not in cell.metadata else []:
        if "image/png" in output.get("data", {}):
            high += picture_height(output.data["image/png"]) + 20
        elif text := output.get("text") or output.get("data", {}).get("text/plain"):
            lines = text.rstrip("\n").split("\n")
            high += CODE * sum(1 + len(line) // MONOSPACED for line in lines) + 12
    return high


def folded(source: str) -> str:
    return re.sub(r"<details>.*?</details>", "fold", source, flags=re.DOTALL)


def line_height(line: str) -> int:
    if heading := re.match(r"#+ ", line):
        return {1: 130, 2: 85}.get(len(heading[0]) - 1, 65)
    if line.startswith("|"):
        return 0 if set(line) <= set("|-: ") else 46 * (1 + len(line) // (CHARACTERS + 25))
    if line.startswith("$$"):
        return 100
    words = re.sub(r"\]\([^)]*\)", "]", line).strip()  # a link's address is not shown
    return (TEXT * (1 + len(words) // CHARACTERS) + 12) if words else 0


def picture_height(png: str) -> int:
    """The height of a picture on a slide. A PNG's size stands in its bytes 16 to 23."""
    header = base64.b64decode(png[:44])
    wide, high = (int.from_bytes(header[i : i + 4], "big") for i in (16, 20))
    return min(PICTURE, high * min(WIDTH, wide) // wide if wide else PICTURE)


def marked(path: Path) -> nbformat.NotebookNode:
    """A notebook cut at its headings, with the metadata that its slides need."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = at_headings(notebook.cells)
    for cell, kind in zip(notebook.cells, slide_types(notebook.cells), strict=True):
        cell.metadata["slideshow"] = {"slide_type": kind}
    return notebook


def speaker_notes(guide: str) -> dict[str, str]:
    """What to say, by heading: the parts of the guide's section of this name, in Markdown."""
    section = re.search(r"^## What to say[^\n]*\n(.*?)(?=^## |\Z)", guide, re.DOTALL | re.MULTILINE)
    parts = re.split(r"^### (.+)\n", section[1] if section else "", flags=re.MULTILINE)
    return {name.strip(): text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def for_a_deck(notebook, notes: dict[str, str]) -> nbformat.NotebookNode:
    """A copy of a marked notebook as its deck shows it: without plotting code, with notes."""
    notebook, cells, pictured = copy.deepcopy(notebook), [], False
    slides: list[list] = []  # the cells of each slide
    for cell in notebook.cells:
        cell.source = re.sub(r"^\[!\[Open in .*\n", "", cell.source, flags=re.MULTILINE)  # badges
        if is_a_look(cell):
            cell.metadata.slideshow.slide_type = "skip"
        kind = cell.metadata.slideshow.slide_type
        if kind == "skip":
            cells.append(cell)
            continue
        parts = in_two(cell) if height(cell, pictured) > ROOM else [cell]
        cells += parts
        for part in parts:
            if part.metadata.slideshow.slide_type != "-" or not slides:
                slides.append([])
            slides[-1].append((part, height(part, pictured)))
            if without_code(part, pictured):
                part.metadata["transient"] = {"remove_source": True}
        pictured = shows_picture(cell)
        if "exercise" in cell.metadata:
            cell.outputs = []
        heading = re.match(r"## (.+?)(?: \*\(.*)?$", cell.source, re.MULTILINE)
        if heading and heading[1] in notes:
            cells.append(new_markdown_cell(notes[heading[1]]))
            cells[-1].metadata["slideshow"] = {"slide_type": "notes"}
    notebook.cells = cells
    for slide in slides:
        high = sum(height for _, height in slide)
        if high > ROOM:
            size = next((s for s in SMALL if s * high <= ROOM), SMALL[-1])
            for cell, _ in slide:
                tags = cell.metadata.get("tags", [])
                cell.metadata["tags"] = [*tags, f"size{size * 100:.0f}"]
    return notebook


def in_two(cell) -> list:
    """A code cell and, on a slide of its own, its outputs."""
    if not cell.get("outputs") or "exercise" in cell.metadata or shows_picture(cell):
        return [cell]
    code, shown = copy.deepcopy(cell), copy.deepcopy(cell)
    code.outputs, shown.source = [], ""
    shown.id = f"{cell.id[:60]}-out"
    shown.metadata["slideshow"] = {"slide_type": "subslide"}
    shown.metadata["transient"] = {"remove_source": True}
    return [code, shown]


def deck(notebook, name: str, decks: Path, notes: dict[str, str]) -> str:
    """The deck of a notebook as HTML. It loads local files if these are installed."""
    modules = decks / "node_modules"
    local = {key: f"node_modules/{path}" for key, path in LOCAL.items()}
    exporter = SlidesExporter(
        reveal_transition="none",
        reveal_number="c/t",
        reveal_width=str(WIDTH),
        reveal_height=str(HEIGHT),
        **(local if modules.exists() else {}),
    )
    shown = with_descriptions(for_a_deck(notebook, notes))
    html, _ = exporter.from_notebook_node(shown, {"metadata": {"name": name}})
    # Line breaks do not work in tables.
    html = re.sub(r"(linebreaks: \{\s*automatic: )true", r"\1false", html)
    return html.replace("</head>", STYLE, 1)


def notebooks(root: Path) -> list[Path]:
    return sorted(
        [*root.glob("notebooks/0[1-6]_*.ipynb"), *root.glob(f"notebooks/{WORKSHOP}.ipynb")]
    )


def main(root: Path = ROOT, check: bool = False, decks: Path = DECKS) -> int:
    """Marks the notebooks and writes their decks, or only names those that are out of date."""
    stale = 0
    guide = root / NOTES
    notes = speaker_notes(guide.read_text(encoding="utf-8")) if guide.is_file() else {}
    for path in notebooks(root):
        notebook = marked(path)
        new = nbformat.writes(notebook).rstrip("\n") + "\n"
        if new != path.read_text(encoding="utf-8"):
            stale += 1
            print(f"{path.stem}: " + ("is out of date: make slides" if check else "marked"))
        if not check:
            with whole_file(path) as file:
                file.write(new.encode())
            mine = notes if path.stem == WORKSHOP else {}
            with whole_file(decks / f"{path.stem}.slides.html") as file:
                file.write(deck(notebook, path.stem, decks, mine).encode())
    if not check:
        print(f"The decks are in {decks.relative_to(root)}: open one in a browser.")
    return int(check and stale > 0)


def heights(page, path: Path) -> list[tuple[int, str]]:
    """The height in pixels and the first words of each slide of a deck, opened in a browser."""
    page.goto(path.resolve().as_uri())
    page.wait_for_selector(".reveal.ready", state="attached")
    page.wait_for_function("window.MathJax && MathJax.isReady")
    page.evaluate("() => new Promise(done => MathJax.Hub.Queue(done))")  # formulas have their size
    return [(high, " ".join(words.split())) for high, words in page.evaluate(SLIDES)]


def measure(decks: Path = DECKS) -> int:
    """Names the slides that are higher than the screen; returns 1 if there are any, else 0."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    chromium = next(path for name in names if (path := shutil.which(name)))
    high = 0
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for path in sorted(decks.glob("*.slides.html")):
            found = heights(page, path)
            too_high = [slide for slide in found if slide[0] > HEIGHT]
            print(f"{path.stem}: {len(found)} slides, the highest {max(found)[0]} px")
            for pixels, words in too_high:
                print(f"    {pixels} px: {words}")
            high += len(too_high)
        browser.close()
    return int(high > 0)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"], ["--measure"]):
        sys.exit(__doc__)
    sys.exit(measure() if "--measure" in sys.argv else main(check="--check" in sys.argv))
