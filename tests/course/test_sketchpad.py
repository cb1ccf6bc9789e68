"""The sheet to draw on: in a real browser by mouse, finger and keys, it says what Python says."""

import random

import pytest
import torch
from chromium import CHROMIUM, FLAGS, WITHOUT

from nanogpt_lib import GPT, CharTokenizer, GPTConfig
from nanogpt_lib.beyond.modalities import PrefixGPT, caption, patches
from nanogpt_lib.course.sketchpad import rasterise, sketchpad, zero

TOKENIZER = CharTokenizer("\nabc")
PATIENCE = 60_000  # milliseconds, for a busy machine


@pytest.fixture
def seeing():
    """A model with eyes that matter, so that each drawing gets words of its own."""
    torch.manual_seed(0)
    size = GPTConfig(vocab_size=4, block_size=9, n_layer=2, n_head=2, n_embd=16, bias=False)
    model = PrefixGPT(GPT(size), n_pieces=16, piece_size=4)
    with torch.no_grad():
        for weights in model.parameters():
            weights *= 20
    return model.eval()


def says(model, strokes) -> str:
    (words,) = caption(model, TOKENIZER, patches(rasterise(strokes)[None]))
    return f"The model says: {words}" if words else "The sheet is empty: draw a digit."


def test_a_drawing_fills_the_height_and_lies_in_the_middle():
    picture = rasterise([[(0.1, 0.1), (0.1, 0.3), (0.2, 0.3)]])
    assert picture.shape == (8, 8) and picture.min() == 0 and picture.max() == 1
    assert (picture.sum(1) > 0).all()
    empty = picture.sum(0) == 0
    assert empty[0] and empty[-1]
    moved = rasterise([[(0.5, 0.5), (0.5, 0.9), (0.7, 0.9)]])  # elsewhere, and twice as large
    assert torch.allclose(picture, moved, atol=1 / 8)


def test_the_ink_is_about_that_of_the_scans():
    assert 0.2 < rasterise(zero()).mean() < 0.4
    assert 0.2 < rasterise([[(0.5, 0.2), (0.5, 0.8)]]).mean() < 0.4
    assert not rasterise([]).any()
    assert 0 < rasterise([[(0.5, 0.5)]]).mean() < 0.2  # a dot stays small


def test_a_sentence_says_what_is_on_it(seeing):
    sheet = sketchpad(seeing, TOKENIZER)
    words = says(seeing, zero()).removeprefix("The model says: ")
    assert words in repr(sheet) and "a finger or keys" in repr(sheet)
    bundle = sheet._repr_mimebundle_()
    assert bundle["text/plain"] == repr(sheet)
    assert "http" not in bundle["text/html"].replace("http://www.w3.org", "")


def test_a_model_that_reads_other_pictures_is_refused():
    model = PrefixGPT(GPT(GPTConfig(4, 9, n_layer=1, n_head=1, n_embd=8)), 4, 4)
    with pytest.raises(ValueError, match="8 by 8; this model reads 4 pieces of 4 numbers"):
        sketchpad(model, TOKENIZER)


class Sheet:
    """The sheet in a browser, as somebody uses it."""

    def __init__(self, page):
        self.page, self.frame = page, page.frames[1]
        self.box = self.frame.locator("#sheet").bounding_box()

    def at(self, x, y):
        return self.box["x"] + x * self.box["width"], self.box["y"] + y * self.box["height"]

    def said(self, expected: str = "") -> str:
        if expected:
            self.frame.wait_for_function(
                "words => document.getElementById('said').textContent === words", arg=expected
            )
        return self.frame.inner_text("#said")


@pytest.fixture
def drawn_on():
    """Opens a sheet in Chromium, without a network. Nothing may go wrong in it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    trouble = []
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(offline=True, has_touch=True)
        context.set_default_timeout(PATIENCE)

        def show(framed) -> Sheet:
            page = context.new_page()
            page.on("pageerror", lambda error: trouble.append(str(error)))
            page.set_content(framed._repr_mimebundle_()["text/html"])
            page.frames[1].wait_for_selector("#sheet")
            return Sheet(page)

        yield show
        browser.close()
    assert not trouble


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_drawn_by_mouse_finger_and_keys_it_says_what_python_says(seeing, drawn_on):
    sheet = drawn_on(sketchpad(seeing, TOKENIZER))
    sheet.said(says(seeing, zero()))
    sheet.frame.click("#wipe")
    sheet.said("The sheet is empty: draw a digit.")

    sheet.page.mouse.move(*sheet.at(0.25, 0.25))
    sheet.page.mouse.down()
    sheet.page.mouse.move(*sheet.at(0.75, 0.25))
    sheet.page.mouse.up()
    sheet.page.mouse.move(*sheet.at(0.75, 0.75))  # with the button up nothing is drawn
    roof = [(0.25, 0.25), (0.75, 0.25)]
    sheet.said(says(seeing, [roof]))

    touch = sheet.page.context.new_cdp_session(sheet.page)
    for kind, *points in (("Start", (0.75, 0.25)), ("Move", (0.5, 0.75)), ("End",)):
        where = [dict(zip("xy", sheet.at(*point), strict=True)) for point in points]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": where})
    sheet.said(says(seeing, [roof, [(0.75, 0.25), (0.5, 0.75)]]))
    sheet.frame.click("#undo")
    sheet.said(says(seeing, [roof]))

    sheet.frame.click("#wipe")
    sheet.frame.focus("#sheet")
    for key in ("Space", *["ArrowDown"] * 4, "Space", "ArrowRight", "ArrowRight", "Space"):
        sheet.page.keyboard.press(key)
    sheet.page.keyboard.press("ArrowUp")
    stroke = [(0.5, 0.5 + i / 16) for i in range(5)]
    sheet.said(says(seeing, [stroke, [(0.625, 0.75), (0.625, 0.6875)]]))
    assert "Pen down, column 10, row 11 of 16" in sheet.frame.inner_text("#where")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_the_picture_in_the_browser_is_that_of_python(seeing, drawn_on):
    sheet, dice = drawn_on(sketchpad(seeing, TOKENIZER)), random.Random(1)
    grid = "JSON.parse(document.getElementById('data').textContent).grid"
    for n in range(20):
        strokes = [
            [(dice.random(), dice.random()) for _ in range(dice.randint(1, 4))]
            for _ in range(dice.randint(n > 0, 3))
        ]
        found = sheet.frame.evaluate(f"s => Array.from(rasterise(s, {grid}))", strokes)
        off = (torch.tensor(found).view(8, 8) - rasterise(strokes)).abs()
        assert off.max() <= 1 / 16 and off.sum() < 0.2, strokes  # a place on the very edge


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_its_controls_have_names_for_a_screen_reader(seeing, drawn_on):
    sheet = drawn_on(sketchpad(seeing, TOKENIZER))
    named = sheet.frame.get_by_role
    assert named("button", name="Wipe the sheet").count() == 1
    assert named("button", name="Take back the last stroke").count() == 1
    assert named("application", name="Arrow keys move the pen").count() == 1
    assert named("img", name="is ink").count() == 1
    assert sheet.frame.locator("#said[aria-live=polite]").count() == 1
