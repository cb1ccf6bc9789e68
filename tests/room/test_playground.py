"""The playground, driven as its controls drive it. Runs on ipywidgets 7.7 and on 8."""

import base64
import json
import re
import subprocess
import sys
import warnings
from html import unescape
from itertools import pairwise
from pathlib import Path

import ipywidgets
import nbformat
import pytest
import torch
from nbclient import NotebookClient

from nanogpt_lib import GPT, CharTokenizer, GPTConfig, generate, probabilities, sampling
from nanogpt_lib.room import playground as widgets
from nanogpt_lib.room.display import WIDGET
from nanogpt_lib.room.playground import next_chances, playground

ROOT = Path(__file__).parents[2]
LENGTH = 40


@pytest.fixture
def letters():
    """The corpus' 65 symbols, without the corpus."""
    return CharTokenizer("\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@pytest.fixture
def writer(tiny):
    """A model with opinions, so that every setting makes a difference."""
    with torch.no_grad():
        tiny.transformer.ln_f.weight *= 8
    return tiny


@pytest.fixture
def p(writer, letters):
    return playground(writer, letters, prompt="hear me ", length=LENGTH)


def shown(p) -> str:
    """The text that the reader sees."""
    return unescape(re.sub("<[^>]*>", "", p.written.value))


def by_hand(writer, letters, **settings):
    return generate(writer, letters, "hear me ", LENGTH, **{"seed": 1, **settings})


def test_it_opens_with_a_text_that_is_also_printed(p, writer, letters, capsys):
    assert shown(p) == by_hand(writer, letters)
    playground(writer, letters, prompt="hear me ", length=LENGTH)
    assert capsys.readouterr().out == f"Temperature 0.7, seed 1:\n\n{shown(p)}\n"


@pytest.mark.parametrize(
    ("control", "value", "setting"),
    [
        ("temperature", 1.5, {"temperature": 1.5}),
        ("temperature", 0, {"temperature": 0}),
        ("top_k", 2, {"top_k": 2}),
        ("top_k", 65, {"top_k": None}),
        ("top_p", 0.3, {"top_p": 0.3}),
        ("seed", 2, {"seed": 2}),
        ("greedy", True, {"greedy": True}),
    ],
)
def test_a_control_that_is_moved_writes_anew(p, writer, letters, control, value, setting):
    before = shown(p)
    getattr(p, control).value = value
    assert shown(p) == by_hand(writer, letters, **setting) != before


@pytest.mark.parametrize("alphabet", ["\nאבגדה ", "\n🙂🎉🚀", "ACGT", "\n天地玄黄"])
def test_a_model_of_any_alphabet_can_be_played_with(alphabet, capsys):
    tokenizer = CharTokenizer("".join(sorted(alphabet)))
    torch.manual_seed(0)
    model = GPT(GPTConfig(len(alphabet), 16, n_layer=1, n_head=1, n_embd=8)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own = playground(model, tokenizer, length=LENGTH)
    assert "Nothing to play with" not in capsys.readouterr().out
    assert len(shown(own)) == LENGTH and set(shown(own)) <= set(alphabet)
    assert "dir='auto'" in own.written.value  # else the lines of Hebrew begin on the wrong side


def test_a_letter_that_the_font_lacks_is_a_box_without_a_note():
    code = (
        "from nanogpt_lib.plots import bars\n"
        "from nanogpt_lib.room.display import png_bytes\n"
        "assert png_bytes(bars(['🙂', '\U00012000'], [1, 2], title='天'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_length_is_the_number_of_new_tokens(p):
    p.length.value = 80
    assert len(shown(p)) == len("hear me ") + 80


def test_the_button_writes_after_the_prompt_that_was_typed(p, writer, letters):
    before = shown(p)
    p.prompt.value = "JULIET:"
    assert shown(p) == before  # half a prompt is no prompt: the button says when
    p.write_button.click()
    assert shown(p) == generate(writer, letters, "JULIET:", LENGTH, seed=1)


def test_the_same_seed_writes_the_same_and_another_seed_another(p, writer, letters):
    before = shown(p)
    p.write_button.click()
    assert shown(p) == before
    p.again_button.click()
    assert p.seed.value == 2
    assert shown(p) == by_hand(writer, letters, seed=2) != before


def test_greedy_rests_what_chance_needs(p):
    chance = (p.temperature, p.top_k, p.top_p, p.seed, p.again_button)
    assert not any(control.disabled for control in chance)
    p.greedy.value = True
    assert all(control.disabled for control in chance)
    assert not p.length.disabled
    p.greedy.value = False
    assert not any(control.disabled for control in chance)


def test_the_bars_follow_the_controls(p):
    before = bytes(p.picture.value)
    assert before.startswith(b"\x89PNG")
    p.top_k.value = 3
    assert bytes(p.picture.value) != before
    assert "3 symbols are in the draw" in p.summary
    assert p.summary in unescape(p.likeliest.value)


def test_an_unknown_character_becomes_a_sentence_and_is_forgiven(p, capsys):
    capsys.readouterr()
    before = shown(p)
    p.prompt.value = "café"
    p.write_button.click()
    assert shown(p).startswith("the model has never seen 'é' (U+00E9).")
    assert p.picture.layout.display == "none"  # no bars of another prompt
    assert p.likeliest.value == ""
    p.prompt.value = "hear me "
    p.write_button.click()
    assert shown(p) == before
    assert p.picture.layout.display is None
    assert capsys.readouterr() == ("", "")


def test_an_unknown_character_can_be_dropped(writer, letters):
    p = playground(writer, letters, prompt="café", length=LENGTH, unknown="drop")
    new = generate(writer, letters, "caf", LENGTH, seed=1).removeprefix("caf")
    assert shown(p) == "café" + new


def test_a_prompt_beyond_the_context_is_noted(p, recwarn):
    p.prompt.value = "hear me speak. " * 3
    p.write_button.click()
    assert shown(p).startswith("Note: the prompt has 45 tokens and the context 16")
    assert p.prompt.value in shown(p)
    assert not [w for w in recwarn if "context" in str(w.message)]  # not on stderr as well


def test_an_empty_prompt_starts_a_line(p, writer, letters):
    p.prompt.value = ""
    p.write_button.click()
    assert shown(p) == generate(writer, letters, "", LENGTH, seed=1)


def test_any_other_problem_is_a_sentence_as_well(p):
    torch.nn.init.constant_(p.model.lm_head.weight, float("nan"))
    p.write_button.click()
    assert shown(p).startswith("the model's scores are not finite")


def test_the_stop_button_stops(p, monkeypatch):
    def interrupted(*args, **settings):
        yield "a"
        raise KeyboardInterrupt

    monkeypatch.setattr(widgets, "stream", interrupted)
    p.write_button.click()
    assert shown(p) == "Stopped."


def test_the_text_appears_while_it_is_written(p, monkeypatch):
    monkeypatch.setattr(widgets, "PAUSE", 0)
    seen = []
    p.written.observe(lambda change: seen.append(shown(p)), names="value")
    p.seed.value = 5
    assert len(seen) >= LENGTH
    assert all(later.startswith(sooner) for sooner, later in pairwise(seen))


def test_what_it_shows_is_text_and_no_markup(writer):
    letters = CharTokenizer("".join(chr(i) for i in range(32, 97)))  # with < and &
    p = playground(writer, letters, prompt="<B> & ", length=LENGTH)
    assert shown(p) == generate(writer, letters, "<B> & ", LENGTH, seed=1)
    assert "<B>" not in p.written.value


def test_where_it_cannot_run_a_picture_and_a_line_stand_in(p):
    bundle = p._repr_mimebundle_()
    assert bundle["text/plain"].startswith("A playground: run this cell")
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle[WIDGET]["model_id"] == p.box.model_id


def test_without_ipywidgets_it_writes_and_says_what_is_missing(
    writer, letters, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert playground(writer, letters, prompt="hear me ", length=LENGTH) is None
    out = capsys.readouterr().out
    assert by_hand(writer, letters) in out
    assert "pip install ipywidgets" in out
    way_out = out.strip().split("\n")[-1]
    exec(way_out, {"generate": generate, "model": writer, "tokenizer": letters})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"temperature": -1}, "temperature must be a number, 0"),
        ({"top_k": 0}, "top_k must be a whole number"),
        ({"top_p": 2}, "top_p must lie above 0"),
        ({"prompt": "é"}, "the model has never seen 'é'"),
        ({"warmth": 1}, "generate() got an unexpected keyword argument 'warmth'"),
    ],
)
def test_a_start_that_makes_no_sense_is_a_sentence(writer, letters, wrong, sentence, capsys):
    assert playground(writer, letters, length=LENGTH, **wrong) is None
    assert capsys.readouterr().out.startswith(f"Nothing to play with yet: {sentence}")


def test_it_begins_where_it_is_told(writer, letters):
    chosen = {"temperature": 2.5, "top_k": 100, "top_p": 0.9, "seed": 7, "greedy": False}
    p = playground(writer, letters, length=620, **chosen)
    assert p.settings() == chosen | {"top_k": None, "unknown": "error", "use_cache": True}
    assert p.length.value == 620
    assert playground(writer, letters, length=LENGTH, top_k=None, seed=None).seed.value == 0


def test_the_chances_are_the_model_s_own_and_those_of_the_draw(writer, letters):
    prompt = "hear me speak. " * 2  # beyond the context: what `generate` would see
    with pytest.warns(UserWarning, match="sees only"):
        own, drawn = next_chances(writer, letters, prompt, temperature=0.5, top_k=3)
    ids = letters.encode(prompt)
    window = torch.tensor([ids[sampling.window_start(len(ids), 16) :]])
    with torch.no_grad():
        logits = writer(window)[0][0, -1]
    assert torch.allclose(own, logits.softmax(-1), atol=1e-6)
    assert torch.allclose(drawn, probabilities(logits, 0.5, 3), atol=1e-6)
    likeliest = next_chances(writer, letters, "a", greedy=True)[1]
    assert likeliest.max() == 1


@pytest.mark.slow
def test_in_a_notebook_it_leaves_text_a_picture_and_nothing_else():
    source = """
import torch
from nanogpt_lib import GPT, GPTConfig, CharTokenizer, playground
tokenizer = CharTokenizer("".join(chr(i) for i in range(32, 97)))
model = GPT(GPTConfig(block_size=16, n_layer=1, n_head=1, n_embd=16)).eval()
p = playground(model, tokenizer, prompt="HEAR ME ", length=40)
p
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    moved = "p.temperature.value = 1.5; p.write_button.click(); p.prompt.value = '{'; p.write()"
    notebook.cells.append(nbformat.v4.new_code_cell(moved))
    NotebookClient(notebook, timeout=120, store_widget_state=False).execute()
    first, second = notebook.cells
    printed, controls = first.outputs
    assert printed.name == "stdout"
    assert set(controls.data) == {WIDGET, "text/plain", "image/png"}
    assert second.outputs == []  # whatever happens, happens in the controls
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_github_shows_the_notebook(path):
    """GitHub refuses a notebook whose widgets have no state, and hides one whose widgets have."""
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"]


def test_the_version_under_test_is_known():
    assert int(ipywidgets.__version__.split(".")[0]) in (7, 8)
