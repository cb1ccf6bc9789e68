"""The handout: on paper it has two pages."""

import runpy
from pathlib import Path

import pytest
from chromium import CHROMIUM, FLAGS, WITHOUT

ROOT = Path(__file__).resolve().parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "handout.py"))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_it_fills_two_pages_of_paper():
    html = TOOL["sheet"]((ROOT / "docs" / "HANDOUT.md").read_text("utf-8"))
    assert html.count("<table>") >= 5 and "|---" not in html
    assert TOOL["pages"](TOOL["pdf"](html, CHROMIUM, FLAGS)) == TOOL["PAGES"]
    longer = html.replace("</body>", "<p>More.</p>" * 100 + "</body>")
    assert TOOL["pages"](TOOL["pdf"](longer, CHROMIUM, FLAGS)) > TOOL["PAGES"]
