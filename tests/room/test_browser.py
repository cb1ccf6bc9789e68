"""The course in a real browser: JupyterLab under headless Chromium, used as a learner uses it.

Runs wherever a Chromium or Chrome is found. With NANOGPT_SCREENSHOTS=DIR it leaves pictures.
"""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from chromium import CHROMIUM, FLAGS, WITHOUT

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT),
]
# No questions on the first start, and every cell in the page, also those far below the screen.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
PATIENCE = 240  # seconds for whatever takes long; a busy machine with two cores is slow
# Notes every picture that each place of each cell has shown, while the page changes.
WATCH = """() => {
  window.pictures = {};
  const look = () => document.querySelectorAll(".jp-Notebook .jp-CodeCell").forEach(
    (cell, i) => cell.querySelectorAll(".jp-OutputArea-output img").forEach((image, j) => {
      const place = `cell ${i}, picture ${j}`;
      (window.pictures[place] ??= new Set()).add(image.src);
    }));
  new MutationObserver(look).observe(document.body,
    {subtree: true, childList: true, attributes: true, attributeFilter: ["src"]});
}"""
# Tracebacks and warnings.
TROUBLE = ", ".join(
    f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr")
)
REDRAWN = "() => Object.values(window.pictures).some(shown => shown.size >= 3)"


@contextmanager
def jupyter_lab(folder: Path, preset: str, names: list[str]):
    """JupyterLab on fresh copies of notebooks, without outputs; gives the address of a notebook.

    Nothing of the user's own Jupyter is read or changed.
    """
    work = folder / "notebooks"
    work.mkdir()
    for name in names:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, work / f"{name}.ipynb")
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    own = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    env = {**os.environ, **{name: str(folder / own[name]) for name in own}}
    env["NANOGPT_PRESET"] = preset
    env.pop("NANOGPT_STRICT", None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={work}"]
    command += ["--LabApp.extension_manager=readonly"]
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(command, cwd=work, env=env, stdout=output, stderr=output)
        try:
            wait_for_server(server, f"http://127.0.0.1:{port}/api", log)
            yield lambda name: f"http://127.0.0.1:{port}/lab/tree/{name}.ipynb?reset&token={token}"
        finally:
            server.terminate()  # it ends its kernels, too
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for_server(server, address: str, log: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail("JupyterLab did not start:\n" + log.read_text(encoding="utf-8"))


@contextmanager
def browser_page():
    """An empty page of a browser that nobody has used before."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        sync_api.sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            viewport={"width": 1280, "height": 900},
            timeout=1000 * PATIENCE,
        )
        browser = browser.pages[0]
        browser.set_default_timeout(1000 * PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, text):  # the corpus is there before the notebooks ask for it
    folder = tmp_path_factory.mktemp("lab")
    with jupyter_lab(folder, "smoke", ["00_start_here", "04_training", "06_sampling"]) as address:
        yield address


@pytest.fixture
def browser():
    with browser_page() as browser:
        yield browser


def open_and_run(browser, address: str) -> None:
    """Opens a notebook and runs all of it, by way of the menu."""
    browser.goto(address)
    browser.get_by_text(re.compile(r"\| Idle$")).wait_for()  # the status bar: the kernel is there
    browser.evaluate(WATCH)
    browser.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    browser.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()


def screenshot(browser, name: str) -> None:
    if os.environ.get("NANOGPT_SCREENSHOTS"):
        browser.screenshot(path=Path(os.environ["NANOGPT_SCREENSHOTS"]) / f"{name}.png")


def wait_for(browser, what) -> None:
    """Waits for something in the notebook, and fails at once where there is an error first."""
    troubled = browser.locator(TROUBLE)
    what.or_(troubled).first.wait_for()
    assert troubled.all_inner_texts() == []


def drag(browser, handle, pixels: int) -> None:
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    browser.mouse.move(x, y)
    browser.mouse.down()
    browser.mouse.move(x + pixels / 2, y, steps=3)
    browser.mouse.move(x + pixels, y, steps=3)
    browser.mouse.up()


def test_the_playground_writes_what_one_asks_for(lab, browser):
    open_and_run(browser, lab("06_sampling"))
    controls = browser.locator(".nanogpt-playground")
    wait_for(browser, controls)
    written = controls.locator(".nanogpt-written")
    sync_api.expect(written).to_contain_text("First Citizen:", timeout=1000 * PATIENCE)
    controls.scroll_into_view_if_needed()
    screenshot(browser, "playground")
    browser.evaluate("window.bars = document.querySelector('.nanogpt-playground img').src")

    before = written.inner_text()
    temperature = controls.locator(".nanogpt-temperature")
    drag(browser, temperature.locator(".noUi-handle, .ui-slider-handle").first, 60)  # warmer
    sync_api.expect(written).not_to_have_text(before, timeout=1000 * PATIENCE)
    browser.wait_for_function(
        "document.querySelector('.nanogpt-playground img').src !== window.bars"
    )
    screenshot(browser, "playground-warmer")

    typed = controls.locator("textarea")
    typed.click()
    browser.keyboard.press("ControlOrMeta+A")
    browser.keyboard.type("JULIET:\nO")
    controls.get_by_role("button", name="Write").click()
    sync_api.expect(written).to_have_text(
        re.compile(r"^\s*JULIET:\nO.{100,}", re.DOTALL), timeout=1000 * PATIENCE
    )
    screenshot(browser, "playground-juliet")

    typed.fill("é")
    controls.get_by_role("button", name="Write").click()
    sync_api.expect(written).to_contain_text("never seen 'é'", timeout=1000 * PATIENCE)
    assert browser.locator(TROUBLE).count() == 0


def test_the_next_symbol_is_drawn_with_the_keyboard_alone(lab, browser):
    open_and_run(browser, lab("00_start_here"))
    controls = browser.locator(".nanogpt-drawing")
    wait_for(browser, controls)
    said = controls.get_by_role("status")
    sync_api.expect(said).to_contain_text("Drawn: ", timeout=1000 * PATIENCE)
    controls.scroll_into_view_if_needed()
    screenshot(browser, "draw-next")

    typed = controls.locator("textarea")
    typed.focus()
    browser.keyboard.press("ControlOrMeta+A")
    browser.keyboard.type("After q")
    browser.keyboard.press("Tab")
    sync_api.expect(controls.get_by_role("button", name="Draw next")).to_be_focused()
    browser.keyboard.press("Space")
    sync_api.expect(said).to_contain_text("After 'After q' the likeliest is ")
    sync_api.expect(typed).to_have_value(re.compile(r"^After q[\s\S]$"))
    image = controls.get_by_role("img")
    assert image.get_attribute("alt") == said.inner_text()
    screenshot(browser, "draw-next-after-q")
    assert browser.locator(TROUBLE).count() == 0


def test_the_live_curve_is_redrawn_while_it_trains(lab, browser):
    open_and_run(browser, lab("04_training"))
    wait_for(browser, browser.locator(".jp-Notebook .jp-CodeCell img"))
    browser.wait_for_function(REDRAWN)
    place = browser.evaluate(
        "Object.entries(window.pictures).find(([place, shown]) => shown.size >= 3)[0]"
    )
    cell, picture = map(int, re.findall(r"\d+", place))
    training = browser.locator(".jp-Notebook .jp-CodeCell").nth(cell)
    training.locator("img").nth(picture).scroll_into_view_if_needed()
    sync_api.expect(training).to_contain_text("Validation loss")  # said in words as well
    screenshot(browser, "live-curve")
