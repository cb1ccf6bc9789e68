"""Has axe-core look at the site and at the pages of a model: `make accessibility`.

axe-core is the accessibility checker that browsers' own tools use. It runs inside each page, in the
system's Chromium, at the width of a laptop in light colours and at that of a phone in dark ones.
What it finds of the levels A and AA of WCAG 2.2 is an error. The site must be built before, and
axe-core be in build/axe: make accessibility does both.

    python tools/accessibility.py              # all pages
    python tools/accessibility.py index.html   # some of them
"""

import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site" / "html"
AXE = ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LOOKS = ({"width": 1280, "height": 900}, "light"), ({"width": 390, "height": 844}, "dark")
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
ASK = "levels => axe.run(document, {runOnly: levels, resultTypes: ['violations']})"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def violations(page) -> list[str]:
    """One line for each rule that an open page breaks: which, how often, and where first."""
    page.add_script_tag(path=AXE)
    found = page.evaluate(ASK, LEVELS)["violations"]
    return [
        f"{v['id']} ({v['impact']}), {len(v['nodes'])} times: {v['help']}; first "
        f"{v['nodes'][0]['target'][0]}: {v['nodes'][0]['html'][:160]}"
        for v in found
    ]


def look(names: list[str]) -> int:
    """Prints what is wrong on the pages with these names; returns the number of findings."""
    server = ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium = next(path for name in NAMES if (path := shutil.which(name)))
    wrong = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for viewport, scheme in LOOKS:
            context = browser.new_context(viewport=viewport, color_scheme=scheme)
            page = context.new_page()
            for name in names:
                page.goto(f"http://localhost:{server.server_address[1]}/{name}")
                page.wait_for_load_state()
                for line in violations(page):
                    wrong += 1
                    print(f"{name}, {viewport['width']} px, {scheme}: {line}", flush=True)
            context.close()
        browser.close()
    server.shutdown()
    return wrong


def main(names: list[str]) -> int:
    if not AXE.is_file() or not SITE.is_dir():
        print("make accessibility builds the site and fetches axe-core, once")
        return 1
    left_out = {"_static", "_modules"}  # a theme's parts, and the code with colours
    names = names or sorted(
        path.relative_to(SITE).as_posix()
        for path in SITE.rglob("*.html")
        if not left_out & {*path.parts}
    )
    wrong = look(names)
    print(f"{len(names)} pages, each in {len(LOOKS)} looks: {wrong or 'no'} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
