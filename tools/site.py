"""Builds the course as a site: `make site`. Nothing is fetched, and a warning is an error.

The notebooks appear as they are committed, with their outputs; nothing is run. The guides of
`docs/`, an API page of the core and the page of a shipped model come beside them. Before Sphinx
reads the files, this tool copies them to build/site/source and changes the copies:

- the set-up cell is folded;
- a picture gets its description as alternative text: what its output brings as text/plain;
- a badge, which is a picture from another site, becomes a link in words;
- a relative link to a file that is not on the site leads to the repository.

Afterwards it follows each link inside the site, to the page and to the place on it.

    python tools/site.py          # build/site/html/index.html
    python tools/site.py --serve  # the same, and shows it at http://localhost:8000
"""

import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from colab import ROOT, Home, read_home
from described import description, last_heading

from nanogpt_lib.room.web.page import write_page

BUILD = ROOT / "build" / "site"
PAGES = ROOT / "docs" / "site"  # the front page, the API page, and Sphinx's settings
MODEL = "pocket-long"  # the shipped model that visitors can try
GUIDES = ("*.md", "images/*")
BADGE = re.compile(r"\[!\[([^\]]+)\]\(https://[^)\s]+\)\]")  # a picture from elsewhere, with a link
LINK = re.compile(r"(!?\[[^\]]*\])\((?!\w+:|#)([^)\s]+)\)")


# The copies that Sphinx reads


def stage(source: Path, home: Home) -> None:
    """Copies all pages to a new folder, in the form in which Sphinx takes them."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(PAGES, source, ignore=shutil.ignore_patterns("__pycache__"))
    named = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    named += [path for pattern in GUIDES for path in sorted((ROOT / "docs").glob(pattern))]
    named += sorted((ROOT / "notebooks").glob("*.ipynb"))
    there = {path.relative_to(ROOT).as_posix() for path in named} - {"README.md"}  # no page
    for path in named:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        to = partial(elsewhere, page=path, there=there, home=home)
        if path.suffix == ".ipynb":
            copy.write_text(json.dumps(notebook(path, to)), encoding="utf-8")
        elif path.suffix == ".md":
            copy.write_text(own(path.read_text(encoding="utf-8"), to), encoding="utf-8")
        else:
            shutil.copy(path, copy)
    write_page(MODEL, source / "extra" / "my-gpt.html", 8)


def own(text: str, to) -> str:
    """A page's text for the site: a badge is a link in words, so nothing comes from elsewhere."""
    return LINK.sub(to, BADGE.sub(r"[\1]", text))


def elsewhere(found: re.Match, page: Path, there: set[str], home: Home) -> str:
    """A link of a page as it is, or into the repository if its file is not on the site."""
    name, _, place = found[2].partition("#")
    path = Path(os.path.normpath(page.parent / name))
    if not name or path.relative_to(ROOT).as_posix() in there:
        return found[0]
    kind = "tree" if path.is_dir() else "blob"
    place = f"#{place}" if place else ""
    return f"{found[1]}({home.url}/{kind}/{home.branch}/{path.relative_to(ROOT).as_posix()}{place})"


def notebook(path: Path, to) -> dict:
    """A notebook for the site: its set-up folded, its pictures described, its links followed."""
    read = json.loads(path.read_text(encoding="utf-8"))
    read["metadata"]["language_info"]["pygments_lexer"] = "ipython3"  # which knows "!git"
    section = path.stem
    for cell in read["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            section = last_heading(text, section)
            cell["source"] = folds(own(text, to))
            continue
        tags = cell["metadata"].get("tags", [])
        if "setup" in tags:
            cell["metadata"]["tags"] = [*tags, "hide-cell"]
        described = description(cell["outputs"], section)
        if described:
            cell["metadata"]["mystnb"] = {"image": {"alt": described}}
    return read


def folds(text: str) -> str:
    """The same text, with an empty line around the HTML of folds: Markdown inside is read then."""
    text = re.sub(r"(</summary>)[ \t]*\n?(?!\n)", r"\1\n\n", text)
    return re.sub(r"(?<!\n)\n(</details>)", r"\n\n\1", text)


# Links inside the site


class Places(html.parser.HTMLParser):
    """What a page links to, and the places on it that can be linked to."""

    def __init__(self):
        super().__init__()
        self.links, self.names = set(), set()

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("id", "name"):
                self.names.add(value)
            elif key in ("href", "src") and value:
                self.links.add(value)


@cache
def places(page: Path) -> Places:
    found = Places()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def pages_of(site: Path) -> list[Path]:
    """The pages of a built site; what lies in _static are a theme's parts."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def broken_links(site: Path) -> list[str]:
    """One line for each link inside a built site that leads nowhere, or to no place of its page."""
    wrong = []
    for page in pages_of(site):
        for link in sorted(places(page).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            name = unquote(parts.path)
            target = (site / name[1:] if name.startswith("/") else page.parent / name).resolve()
            target = page if not name else target / "index.html" if target.is_dir() else target
            known = target.is_file() and (
                not parts.fragment
                or target.suffix != ".html"
                or unquote(parts.fragment) in places(target).names
            )
            if not known:
                wrong.append(f"{page.relative_to(site).as_posix()}: {link} leads nowhere")
    return wrong


def main(serve: bool = False) -> int:
    """Builds the site, and shows it if asked for; returns the exit status."""
    home = read_home(ROOT / "pyproject.toml")
    source, site = BUILD / "source", BUILD / "html"
    stage(source, home)
    shutil.rmtree(site, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html"]
    doctrees = ("-d", str(BUILD / "doctrees"))
    env = os.environ | {"COURSE_OWNER": home.owner, "COURSE_NAME": home.name}
    env |= {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *doctrees, str(source), str(site)], env=env)
    wrong = [] if done.returncode else broken_links(site)
    print("\n".join(wrong), end="\n" if wrong else "")
    if done.returncode or wrong:
        return 1
    start = (site / "index.html").relative_to(ROOT)
    print(f"{start}: {len(pages_of(site))} pages, all links inside work.")
    if serve:
        print("http://localhost:8000 shows it. Ctrl-C ends.", flush=True)
        handler = partial(SimpleHTTPRequestHandler, directory=str(site))
        ThreadingHTTPServer(("localhost", 8000), handler).serve_forever()
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--serve"]):
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        sys.exit(main(serve="--serve" in sys.argv))
