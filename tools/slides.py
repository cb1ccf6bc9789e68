"""Makes slides of the course's notebooks: `make slides`.

Each cell's metadata says where the cell is in the deck; `jupyter nbconvert --to slides` uses it,
too. A title or a section starts a slide to the right. An exercise, a picture and anything else that
needs room goes on a slide below. The set-up, imports and the controls of a widget are left out.

    python tools/slides.py          # sets the metadata of 01 to 06, and writes the decks
    python tools/slides.py --check  # writes nothing, names the notebooks that are out of date

The decks in build/slides load reveal.js from the web. To show them without a network, once:
npm install --prefix build/slides reveal.js@4.0.2 requirejs@2.3.6 jquery@3.7.1 mathjax@2.7.9
"""

import ast
import re
import sys
from pathlib import Path

import nbformat
from described import with_descriptions
from nbconvert import SlidesExporter

from nanogpt_lib.machine.files import whole_file

ROOT = Path(__file__).resolve().parent.parent
DECKS = ROOT / "build" / "slides"
ROOM, PICTURE = 18, 14  # lines that fit on a slide, and those that a picture takes
WIDTH = 95  # characters in a line of text
STYLE = """<style>
.reveal .slides section { text-align: left; font-size: 26px; line-height: 1.35; }
.reveal .slides section section { max-height: 700px; overflow-y: auto; }
.reveal h1, .reveal h2, .reveal h3 { text-transform: none; font-weight: 600; letter-spacing: 0; }
.reveal h1 { font-size: 1.9em; } .reveal h2 { font-size: 1.4em; } .reveal h3 { font-size: 1.15em; }
.reveal pre { width: 100%; margin: 0; font-size: 19px; line-height: 1.3; box-shadow: none; }
.reveal img { max-height: 470px; max-width: 100%; margin: 0; }
.reveal table { font-size: 0.85em; table-layout: auto; } .reveal p { margin: 0.4em 0; }
.jp-InputPrompt, .jp-OutputPrompt, .jp-Collapser { display: none; }
</style>
</head>"""
LOCAL = {  # what a deck loads, and its path in node_modules
    "reveal_url_prefix": "reveal.js",
    "require_js_url": "requirejs/require.js",
    "jquery_url": "jquery/dist/jquery.min.js",
    "mathjax_url": "mathjax/MathJax.js?config=TeX-AMS_CHTML-full,Safe",
}


def slide_types(cells) -> list[str]:
    """The place of each cell: "slide", "subslide", "-" (below the cell before) or "skip"."""
    kinds, used = [], 0
    for cell in cells:
        kind = "-"
        lines = height(cell)
        if left_out(cell):
            kind = "skip"
        elif re.search(r"^##? ", cell.source, re.MULTILINE) and cell.cell_type == "markdown":
            kind = "slide"
        elif "exercise" in cell.metadata:
            pass  # stays with its question
        elif "### " in cell.source or shows_picture(cell) or used + lines > ROOM:
            kind = "subslide"
        if kind != "skip":
            used = lines + (used if kind == "-" else 0)
        kinds.append(kind)
    return kinds


def left_out(cell) -> bool:
    """Whether a cell only prepares what follows, or shows what only works in a live notebook."""
    if cell.cell_type != "code" or "setup" in cell.metadata.get("tags", []):
        return cell.cell_type == "code"
    return all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(cell.source).body)


def shows_picture(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def height(cell) -> int:
    """The number of slide lines that a cell takes; folds are closed on slides."""
    shown = re.sub(r"<details>.*?</details>", "fold", cell.source, flags=re.DOTALL)
    if cell.cell_type == "markdown":
        return sum(1 + len(line) // WIDTH for line in shown.split("\n") if line.strip())
    return len(shown.split("\n")) + (PICTURE if shows_picture(cell) else 1)


def marked(path: Path) -> nbformat.NotebookNode:
    """A notebook with the metadata that its slides need."""
    notebook = nbformat.read(path, as_version=4)
    for cell, kind in zip(notebook.cells, slide_types(notebook.cells), strict=True):
        cell.metadata["slideshow"] = {"slide_type": kind}
    return notebook


def deck(notebook, name: str, decks: Path) -> str:
    """The deck of a notebook as HTML. It loads local files if these are installed."""
    modules = decks / "node_modules"
    local = {key: f"node_modules/{path}" for key, path in LOCAL.items()}
    exporter = SlidesExporter(
        reveal_transition="none",
        reveal_number="c/t",
        reveal_width="1280",
        reveal_height="720",
        **(local if modules.exists() else {}),
    )
    html, _ = exporter.from_notebook_node(with_descriptions(notebook), {"metadata": {"name": name}})
    # Line breaks do not work in tables.
    html = re.sub(r"(linebreaks: \{\s*automatic: )true", r"\1false", html)
    return html.replace("</head>", STYLE, 1)


def main(root: Path = ROOT, check: bool = False, decks: Path = DECKS) -> int:
    """Marks the notebooks and writes their decks, or only names those that are out of date."""
    stale = 0
    for path in sorted(root.glob("notebooks/0[1-6]_*.ipynb")):
        notebook = marked(path)
        new = nbformat.writes(notebook).rstrip("\n") + "\n"
        if new != path.read_text(encoding="utf-8"):
            stale += 1
            print(f"{path.stem}: " + ("is out of date: make slides" if check else "marked"))
        if not check:
            with whole_file(path) as file:
                file.write(new.encode())
            with whole_file(decks / f"{path.stem}.slides.html") as file:
                file.write(deck(notebook, path.stem, decks).encode())
    if not check:
        print(f"The decks are in {decks.relative_to(root)}: open one in a browser.")
    return int(check and stale > 0)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    sys.exit(main(check="--check" in sys.argv))
