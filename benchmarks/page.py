"""How fast a model writes as a page, in plain JavaScript, in a real Chromium on one core.

Each model opens anew in each round. The text is longer than the context, so that what the page
reads again when it forgets is counted. Load: from opening the file until the model is ready.
"""

import tempfile
from pathlib import Path

from benchmarks.bench import Table
from nanogpt_lib.room.web.page import write_page
from nanogpt_lib.runs.checkpoint import load_model

GOALS = {"pocket-long": 300, "talk": 40}  # characters a second


def run(args) -> Table:
    from playwright.sync_api import sync_playwright

    from tests.chromium import CHROMIUM, FLAGS

    n, figures = args.steps or 600, {}
    with sync_playwright() as player, tempfile.TemporaryDirectory() as folder:
        for name in GOALS:
            path = write_page(name, Path(folder, f"{name}.html"))
            for _ in range(args.rounds):
                browser = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                figures.setdefault(name, []).append(measured(browser, path, n))
                browser.close()
    rows = []
    for name, goal in GOALS.items():
        model = load_model(name)[0]
        best = {key: pick(row[key] for row in figures[name]) for key, pick in BEST.items()}
        shape = f"{name}, {model.num_params():,} parameters"
        rows.append([shape, best["pace"], goal, best["first"], best["load"]])
    return Table(
        "page",
        f"A page writes {n} characters",
        "300 characters a second with the pocket model, 40 with the talk's; the first within 1 s",
        ["model", "characters a second", "goal", "first character, s", "load, s"],
        rows,
        [f"The best of {args.rounds} rounds. Temperature 0.7, top-k 40."],
        {"rounds": figures},
    )


BEST = {"pace": max, "first": min, "load": min}


def measured(browser, path: Path, n: int) -> dict[str, float]:
    """Characters a second; seconds to the first one, and until the model was ready."""
    view = browser.new_context(offline=True).new_page()
    view.set_default_timeout(600_000)
    view.goto(path.as_uri())
    view.evaluate("ready")  # the model was loaded, and its first text is written
    view.evaluate(f"document.getElementById('length').value = {n}; write()")
    return view.evaluate("times")
