"""The page of a model in a real browser without a network: it computes what PyTorch computes."""

import math
import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from chromium import CHROMIUM, FLAGS, WITHOUT

from nanogpt_lib import (
    GPT,
    BPETokenizer,
    CharTokenizer,
    GPTConfig,
    attention_explorer,
    generate,
    load_model,
    next_scores,
    page,
    probabilities,
    window_start,
)
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.room.web.frames import read, softmax_slider
from nanogpt_lib.room.web.page import as_on_the_page, cost, name_of, page_of, write_page
from nanogpt_lib.room.web.slope import slope_slider
from nanogpt_lib.runs import checkpoint
from nanogpt_lib.runs.template import MARKS, MarkedTokenizer
from nanogpt_lib.training import Evaluation, TrainConfig, new_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)]

HOSTILE = "</script><img src=x onerror=alert(1)><b>bold</b> <!-- & \"'"
CLOSE = 1e-4
PATIENCE = 120_000  # milliseconds, for a busy machine


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens HTML from the disk, without a network; gives the page. Nothing may go wrong in it."""
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    trouble = []

    def show(html: str):
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        view = context.new_page()
        view.set_default_timeout(PATIENCE)
        view.on("pageerror", lambda error: trouble.append(str(error)))
        view.on("console", lambda message: trouble.append(message.text))
        view.on("dialog", lambda dialog: trouble.append(dialog.message))
        view.on("request", lambda request: trouble.append(request.url) if asks(request) else None)
        view.goto((tmp_path / "page.html").as_uri())
        return view

    show.trouble = trouble
    yield show
    context.close()
    assert trouble == []


def asks(request) -> bool:
    """Whether a request goes to anywhere but this page itself."""
    return not request.url.startswith(("file:", "blob:", "data:", "about:"))


def settled(view):
    """Waits until the page has written its first text and read its own."""
    view.locator("#mean").filter(has_text=re.compile("nats|needed")).wait_for()
    return view


@pytest.fixture(scope="module")
def pieces(text):
    return BPETokenizer.train(text[:60_000], 320)


@pytest.fixture
def random_checkpoint(tmp_path):
    """Saves a random model with opinions; returns the checkpoint's path."""

    def save(tokenizer, block_size=24, name="mine", about=None, history=(), **size):
        torch.manual_seed(3)
        shape = {"n_layer": 2, "n_head": 2, "n_embd": 32} | size
        model = GPT(GPTConfig(tokenizer.vocab_size, block_size, **shape))
        for weights in model.parameters():  # also biases and norms, which begin as 0 and 1
            torch.nn.init.normal_(weights, std=0.4)
        ids = torch.arange(99) % tokenizer.vocab_size
        run = new_run(model, ids, ids, TrainConfig(), pick_compute("cpu", "float32"))
        run.history += [Evaluation(step, 0, 0.0, 0.1, *losses) for step, *losses in history]
        path = tmp_path / f"{name}.safetensors"
        data = checkpoint.snapshot(run, tokenizer, about or {}, complete=False)
        checkpoint.save(data, path)
        return path

    return save


def scores_at_every_place(model, ids) -> torch.Tensor:
    """What the library scores after each of the tokens, as it does when it writes: (T, V)."""
    T = model.config.block_size
    windows = [torch.tensor([ids[window_start(n, T) : n]]) for n in range(1, len(ids) + 1)]
    return torch.cat([next_scores(model, window, None) for window in windows])


def greedy_text(model, tokenizer, prompt, length) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the prompt is longer than the context: so it should be
        return generate(model, tokenizer, prompt, length, greedy=True)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("kind", "bias"), [("characters", True), ("pieces", False)])
def test_every_score_is_pytorch_s_also_past_the_context(
    kind, bias, bits, random_checkpoint, tokenizer, pieces, opened, text
):
    path = random_checkpoint(tokenizer if kind == "characters" else pieces, bias=bias)
    model, own, _ = load_model(path)
    view = settled(opened(page_of(path, bits)))
    line = text[:200]
    ids = view.evaluate("(text) => ask('encode', { text }).then((a) => a.ids)", line)
    assert ids == own.encode(line) and len(ids) > 3 * model.config.block_size
    found = view.evaluate(
        "(ids) => ask('scores', { ids }).then((a) => a.scores.map((row) => Array.from(row)))", ids
    )
    model = as_on_the_page(model, bits)
    expected = scores_at_every_place(model, ids)
    torch.testing.assert_close(torch.tensor(found), expected, atol=CLOSE, rtol=0)
    view.fill("#prompt", line)  # longer than the context
    view.check("#greedy")
    view.click("#write")
    view.locator("#speed").filter(has_text="400 tokens").wait_for()
    written = view.evaluate("document.getElementById('written').textContent")
    assert written == greedy_text(model, own, line, 400)
    chances = view.evaluate("() => ask('chances', { text, settings: settings() })")["bars"]
    assert sum(bar["drawn"] for bar in chances) == 1


def test_the_shipped_model_s_scores_and_greedy_text_are_the_same(opened, text):
    model, tokenizer, _ = load_model("pocket-long")
    model = as_on_the_page(model, 8)
    view = settled(opened(page_of("pocket-long")))
    ids = tokenizer.encode(text[5000:5150])
    found = view.evaluate(
        "(ids) => ask('scores', { ids }).then((a) => a.scores.map((row) => Array.from(row)))", ids
    )
    torch.testing.assert_close(
        torch.tensor(found), scores_at_every_place(model, ids), atol=CLOSE, rtol=0
    )
    view.fill("#prompt", "JULIET:\n")
    view.check("#greedy")
    view.click("#write")
    view.locator("#speed").filter(has_text="400 tokens").wait_for()
    written = view.evaluate("document.getElementById('written').textContent")
    assert written == generate(model, tokenizer, "JULIET:\n", 400, greedy=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.3, "top_k": 12, "top_p": 0.95},
        {"temperature": 0.5, "top_k": 0, "top_p": 1},
        {"temperature": 1, "top_k": 3, "top_p": 1},
        {"temperature": 2, "top_k": 0, "top_p": 0.4},
        {"temperature": 0, "top_k": 0, "top_p": 1},
    ],
)
def test_the_chances_of_the_draw_are_the_library_s(settings, opened):
    view = settled(opened(page_of("pocket")))
    model, tokenizer, _ = load_model("pocket")
    ids = tokenizer.encode("To be, or not to be")
    scores = next_scores(as_on_the_page(model, 8), torch.tensor([ids]), None)[0]
    (bars,) = view.evaluate(
        "(settings) => Promise.all([ask('chances', { text: 'To be, or not to be', settings })])",
        settings,
    )
    names = settings | {"top_k": settings["top_k"] or None}
    expected = probabilities(scores, **names)
    assert len(bars["bars"]) == 10
    for bar in bars["bars"]:
        (i,) = tokenizer.encode(bar["token"])
        assert bar["drawn"] == pytest.approx(expected[i].item(), abs=1e-5)


def test_what_it_draws_has_these_chances(opened):
    """2,000 draws of the first token: a chi-square below its 0.1% bound, and none cut off."""
    view = settled(opened(page_of("pocket")))
    settings = {"temperature": 1.3, "top_k": 12, "top_p": 0.95}
    draws = view.evaluate(
        """async (settings) => {
          const found = [];
          for (let seed = 1; seed <= 2000; seed++) {
            const id = ++count;
            await new Promise((resolve) => {
              waiting.set(id, (a) => { if (a.done) resolve(); else found.push(a.token); });
              worker.postMessage({ job: "write", id, prompt: "\\n", length: 1, settings, seed });
            });
          }
          return found;
        }""",
        settings,
    )
    model, tokenizer, _ = load_model("pocket")
    scores = next_scores(as_on_the_page(model, 8), torch.tensor([tokenizer.encode("\n")]), None)[0]
    expected = probabilities(scores, **settings)
    counts = torch.bincount(torch.tensor(draws), minlength=len(expected))
    assert counts.sum() == 2000 and counts[expected == 0].sum() == 0
    inside = expected > 0
    chi = ((counts - 2000 * expected)[inside] ** 2 / (2000 * expected[inside])).sum().item()
    bounds = {11: 31.3, 10: 29.6, 9: 27.9, 8: 26.1, 7: 24.3, 6: 22.5, 5: 20.5, 4: 18.5}
    assert chi < bounds[int(inside.sum()) - 1], chi


def test_the_same_seed_writes_the_same_and_stop_stops(opened):
    view = settled(opened(page_of("pocket")))
    first = view.inner_text("#written")
    view.click("#write")
    view.locator("#speed").filter(has_text="400 tokens").wait_for()
    assert view.inner_text("#written") == first
    view.click("#again")
    view.locator("#speed").filter(has_text="400 tokens").wait_for()
    assert view.inner_text("#written") != first
    view.evaluate("document.getElementById('length').value = 2000; showSettings()")
    view.click("#write")
    view.locator("#speed").filter(has_text="First token").wait_for()
    view.click("#stop")
    view.locator("#speed").filter(has_text=re.compile(r"^\d+ tokens, ")).wait_for()
    assert int(view.inner_text("#speed").split()[0]) < 2000


def test_hostile_names_prompts_and_texts_are_shown_as_text(opened, random_checkpoint):
    tokenizer = CharTokenizer("".join(sorted(set(HOSTILE + "\n"))))
    about = {
        "preset": "smoke",
        "sha256": "0" * 64,
        "run": {
            "text": {"name": HOSTILE},
            "started": "2026-11-27T00:00:00+00:00",
            "ladder": [{"k": 0, "name": HOSTILE, "loss": 2.0}],
        },
    }
    image = "<img src=x onerror=alert(1)>"
    path = random_checkpoint(tokenizer, name=image, about=about)
    view = settled(opened(page_of(path)))
    assert view.inner_text("#title").count(image) == 2  # the run's own name, and its text's
    assert image in view.title()
    view.fill("#prompt", HOSTILE)
    view.click("#write")
    view.locator("#speed").filter(has_text="400 tokens").wait_for()
    assert HOSTILE in view.evaluate("document.getElementById('written').textContent")
    view.fill("#own-text", HOSTILE)
    view.click("#read")
    view.locator("#surprises").filter(has_text="onerror").wait_for()
    assert view.locator("img, #written i, #surprises b, #title b, #curve b").count() == 0


def test_the_page_may_not_ask_the_network(opened):
    view = settled(opened(page_of("pocket")))
    refused = view.evaluate(
        "fetch('https://example.org/').then(() => 'fetched', (error) => error.name)"
    )
    assert refused == "TypeError"
    policy = view.get_attribute("meta[http-equiv]", "content")
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert opened.trouble and all("Content Security Policy" in line for line in opened.trouble)
    opened.trouble.clear()


def test_characters_of_several_tokens_are_shown_whole(opened, random_checkpoint):
    path = random_checkpoint(BPETokenizer())  # bytes alone: every accent is two tokens
    view = settled(opened(page_of(path)))
    view.fill("#own-text", "café 🙂!")
    view.click("#read")
    view.locator("#surprises").filter(has_text="caf").wait_for()
    assert view.evaluate("document.getElementById('surprises').textContent") == "café 🙂!"
    (name,) = view.evaluate("ask('attention', { text: 'é', most: 1 }).then((a) => a.tokens)")
    assert name == "‹a9›"  # a token alone, which is half of a character


@pytest.mark.parametrize("kind", ["characters", "pieces"])
def test_marks_are_shown_by_their_names_and_no_text_gives_them(
    kind, opened, random_checkpoint, tokenizer, pieces
):
    base = tokenizer if kind == "characters" else pieces
    path = random_checkpoint(MarkedTokenizer(base, MARKS))
    model, own, _ = load_model(path)
    view = settled(opened(page_of(path)))
    ids = view.evaluate("(text) => ask('encode', { text }).then((a) => a.ids)", "A<|end|>")
    assert ids == own.encode("A<|end|>", unknown="drop") and max(ids) < base.vocab_size
    view.fill("#prompt", "A")
    view.check("#greedy")
    view.click("#write")
    view.locator("#speed").filter(has_text="400 tokens").wait_for()
    written = view.evaluate("document.getElementById('written').textContent")
    assert written == greedy_text(as_on_the_page(model, 8), own, "A", 400)


def test_an_unknown_letter_is_named_and_left_out(opened):
    view = settled(opened(page_of("pocket")))
    view.fill("#prompt", "JULIÉT: 你")
    view.click("#write")
    view.locator("#left-out").filter(has_text="never seen É 你").wait_for()
    view.locator("#speed").filter(has_text="400 tokens").wait_for()


def test_every_control_has_a_name_and_is_reached_with_the_keyboard(opened):
    view = settled(opened(page_of("pocket")))
    controls = view.locator("textarea, input, button, [tabindex='0']")
    wanted = {
        view.evaluate("(e) => e.id || e.textContent", control.element_handle())
        for control in controls.all()
        if control.is_enabled()
    }
    reached = set()
    for _ in range(2 * len(wanted) + 5):
        view.keyboard.press("Tab")
        reached.add(
            view.evaluate("document.activeElement.id || document.activeElement.textContent")
        )
    assert wanted <= reached
    for control in controls.all():
        name = view.evaluate(
            "(e) => e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent",
            control.element_handle(),
        )
        assert name.strip()
    assert view.get_attribute("#bars", "aria-label").startswith("Likeliest next: ")


def test_what_a_hover_shows_is_the_model_s_attention(opened):
    model, tokenizer, _ = load_model("pocket")
    line = "Now is the winter of our discontent"
    html = attention_explorer(model, tokenizer, line).html
    view = opened(html)
    maps = model.attention(torch.tensor([tokenizer.encode(line)]))[:, 0]  # (n_layer, nh, T, T)
    assert view.locator(".heads button").count() == maps.size(0) * maps.size(1)
    for layer, head, t in ((0, 0, 5), (1, 2, 20), (3, 3, len(line) - 1)):
        view.click(f"button[aria-label='layer {layer}, head {head}']")
        view.locator(".token").nth(t).hover()
        shown = view.evaluate(
            "[...document.querySelectorAll('.token')]"
            ".map((e) => Number(e.style.getPropertyValue('--much')))"
        )
        torch.testing.assert_close(torch.tensor(shown), maps[layer, head, t], atol=1e-4, rtol=0)
    view.keyboard.press("Tab")
    view.locator(".token.looks").focus()
    view.keyboard.press("ArrowLeft")
    assert f"token {len(line) - 1} of {len(line)}, " in view.inner_text(".said")


def test_the_slider_s_weights_are_the_softmax(opened):
    scores = [0.0, 1.0, 0.3, -0.5, 1.0]
    view = opened(softmax_slider(scores, ["a", " ", "<b>", "\n", "e"]).html)
    for loud in ("0", "0.5", "5", "50"):
        view.locator("input").fill(loud)
        shown = view.evaluate(
            "[...document.querySelectorAll('.column')].map((e) => Number(e.dataset.weight))"
        )
        expected = (float(loud) * torch.tensor(scores)).softmax(0)
        torch.testing.assert_close(torch.tensor(shown), expected, atol=1e-6, rtol=0)
    assert view.inner_text(".columns").split() == ["a", "␣", "<b>", "↵", "e"]
    with pytest.raises(ValueError, match="as many finite scores as tokens"):
        softmax_slider([1, math.nan], "ab")


def test_in_a_notebook_it_works_in_a_frame_that_sees_nothing_of_it(opened):
    shown = page("pocket")._repr_mimebundle_()
    assert 'sandbox="allow-scripts"' in shown["text/html"] and "run the cell" in shown["text/plain"]
    view = opened(f"<!doctype html><title>a notebook</title>{shown['text/html']}")
    frame = view.frame_locator("iframe")
    frame.locator("#mean").filter(has_text="nats").wait_for()
    assert "ROMEO:" in frame.locator("#written").inner_text()


def test_in_a_notebook_it_is_written_as_a_file_too_and_downloaded_in_colab(
    tmp_path, monkeypatch, capsys
):
    got = []
    colab = SimpleNamespace(files=SimpleNamespace(download=got.append))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setitem(sys.modules, "google", SimpleNamespace(colab=colab))
    for _ in range(2):  # a cell is run again
        page("pocket", to=tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text(encoding="utf-8") == page_of("pocket")
    assert got == [str(tmp_path / "mine.html")] * 2
    assert "/mine.html, 1.1 MB. Any browser opens it" in capsys.readouterr().out


def test_the_command_says_the_size_and_what_the_bits_cost(nanogpt, tmp_path, text):
    said = nanogpt("export", "pocket", "--to", "mine.html").stdout
    before, after = map(float, re.search(r"goes from (\d\.\d+) to (\d\.\d+)", said).groups())
    assert (before, after) == pytest.approx(cost("pocket"), abs=1e-4)
    assert abs(after - before) < 0.01 and "--bits 16" not in said
    size = (tmp_path / "mine.html").stat().st_size / 1e6
    assert f"mine.html, {size:.1f} MB" in said and 1.0 < size < 1.4
    again = nanogpt("export", "pocket", "--to", "mine.html", check=False)
    assert again.returncode == 2 and "is there already" in again.stderr
    other = nanogpt("export", "pocket", "--to", "folder", "--bits", "8", check=False)
    assert other.returncode == 2 and "for a page" in other.stderr


def test_of_another_text_it_says_that_nothing_was_measured(nanogpt, random_checkpoint, tmp_path):
    (tmp_path / "own.txt").write_text("aaab\n" * 50, encoding="utf-8")
    path = random_checkpoint(CharTokenizer("\nab"), name="own")
    said = nanogpt("export", path, "--to", "own.html").stdout
    assert "is unmeasured" in said
    done = nanogpt("export", path, "--to", "o.html", "--text", "own.txt", check=False)
    assert done.returncode == 2 and "is not the text that" in done.stderr


def test_what_a_page_cannot_hold_is_refused(random_checkpoint, tokenizer, tmp_path):
    path = random_checkpoint(tokenizer)
    with pytest.raises(ValueError, match='bits must be "8" or "16"'):
        write_page(path, tmp_path / "p.html", bits=4)
    assert not (tmp_path / "p.html").exists()
    with pytest.raises(ValueError, match="no token that the model knows"):
        attention_explorer(load_model(path)[0], tokenizer, "你好")


@pytest.mark.parametrize(("train", "val"), [(math.nan, math.nan), (2.0, math.nan), (2.0, 1e400)])
def test_a_run_that_diverged_later_has_a_page(train, val, random_checkpoint, tokenizer):
    path = random_checkpoint(tokenizer, history=[(0, 4.2, 4.2), (5, 3.0, 3.1), (10, train, val)])
    html = page_of(path)
    assert "At its lowest the validation loss was 3.100." in html
    assert "NaN" not in html.partition('id="data">')[2].partition("</script>")[0]


def test_a_page_is_called_after_its_run():
    assert name_of(Path("runs/mine")) == name_of(Path("runs/mine/best.safetensors")) == "mine"
    assert name_of(Path("talk.safetensors")) == name_of(Path("talk")) == "talk"


def test_the_model_in_javascript_can_be_read_in_one_sitting():
    assert len(read("model.js").splitlines()) <= 250


def test_the_slope_that_is_shown_is_the_curve_s(opened):
    weights = [w / 10 for w in range(-20, 31)]
    losses, slopes = [(w - 1) ** 2 for w in weights], [2 * (w - 1) for w in weights]
    shown = slope_slider(weights, losses, slopes, "<b>")
    assert "lowest, 0.00, where it is 1.0" in shown.seen
    view = opened(shown.html)
    for i, way in ((0, "to the right"), (30, "the bottom"), (50, "to the left")):
        view.locator("input").fill(str(i))
        assert float(view.get_attribute("#root", "data-slope")) == slopes[i]
        assert way in view.inner_text(".said")
        ends = [float(view.get_attribute(".touch", end)) for end in ("x1", "y1", "x2", "y2")]
        rises = ends[1] - ends[3]  # upwards is a smaller y
        assert (rises > 0) == (slopes[i] > 0) and (abs(rises) < 1e-9) == (slopes[i] == 0)
    assert view.inner_text("label").startswith("<b>")


@pytest.mark.parametrize(
    ("weights", "losses", "words"),
    [([0, 1], [1], "as many"), ([0, 1], [1, math.inf], "finite"), ([1, 0], [1, 2], "ascending")],
)
def test_a_curve_that_is_none_is_refused(weights, losses, words):
    with pytest.raises(ValueError, match=words):
        slope_slider(weights, losses, [0, 0])
