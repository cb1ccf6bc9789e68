"""Makes docs/HANDOUT.md a sheet to print, two pages of A4: build/handout.html and handout.pdf.

    python tools/handout.py

Without Chromium there is no PDF: open the HTML in any browser and print it.
"""

import re
import shutil
import sys
from pathlib import Path

import mistune  # nbconvert brings it

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PAGES = 2
STYLE = """
@page { size: A4; margin: 13mm 15mm; }
body { font: 10pt/1.32 system-ui, sans-serif; color: black; }
h1 { font-size: 16pt; margin: 0 0 4pt; } h2 { font-size: 12pt; margin: 9pt 0 3pt; }
p { margin: 4pt 0; } pre { font-size: 8.5pt; background: #f3efe6; padding: 4pt; margin: 4pt 0; }
table { border-collapse: collapse; width: 100%; margin: 4pt 0; break-inside: avoid; }
td, th { border: 0.5pt solid #888; padding: 2pt 4pt; text-align: left; vertical-align: top; }
td:empty { min-width: 32mm; height: 15pt; }
"""


def sheet(text: str) -> str:
    """The handout as a page of HTML."""
    body = mistune.create_markdown(plugins=["table"])(text)
    head = f"<meta charset='utf-8'><title>Handout</title><style>{STYLE}</style>"
    return f"<!DOCTYPE html><html lang='en'><head>{head}</head><body>{body}</body></html>"


def pdf(html: str, chromium: str, flags=("--no-sandbox",)) -> bytes:
    """The page as a browser prints it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=list(flags))
        page = browser.new_page()
        page.set_content(html)
        printed = page.pdf(prefer_css_page_size=True, print_background=True)
        browser.close()
    return printed


def pages(printed: bytes) -> int:
    """The number of pages of a PDF that Chromium has made."""
    return len(re.findall(rb"/Type\s*/Page\b", printed))


def main(root: Path = ROOT) -> int:
    html = sheet((root / "docs" / "HANDOUT.md").read_text(encoding="utf-8"))
    folder = root / "build"
    folder.mkdir(exist_ok=True)
    (folder / "handout.html").write_text(html, encoding="utf-8")
    print("build/handout.html: print it from a browser.")
    chromium = next((path for name in NAMES if (path := shutil.which(name))), None)
    if not chromium:
        return 0
    printed = pdf(html, chromium)
    (folder / "handout.pdf").write_bytes(printed)
    print(f"build/handout.pdf: {pages(printed)} pages.")
    return int(pages(printed) > PAGES)


if __name__ == "__main__":
    sys.exit(main())
