"""One symbol after another, driven as its buttons drive it. Runs on ipywidgets 7.7 and on 8."""

import base64
import re
import sys

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from nanogpt_lib import CharTokenizer, draw_next, generate
from nanogpt_lib.room.display import WIDGET
from nanogpt_lib.room.drawing import MANY
from nanogpt_lib.room.playground import next_chances

CORPUS = CharTokenizer("\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@pytest.fixture
def drawing(tiny):
    return draw_next(tiny, CORPUS)


def test_it_draws_as_generate_does_at_temperature_1(tiny, drawing):
    expected = generate(tiny, CORPUS, "hear me ", 3, temperature=1, top_k=None, seed=2)
    assert drawing.text.value == expected[:-2]  # once at the beginning
    drawing.next.click()
    drawing.next.click()
    assert drawing.text.value == expected


def test_the_sentence_has_the_model_s_own_chances(tiny, drawing):
    chances, _ = next_chances(tiny, CORPUS, "hear me ")
    found = re.fullmatch(
        r"After 'hear me ' the likeliest is '(.+)', with (\d+)%\. "
        r"Drawn: '(.+)', which had (\d+)%\.",
        drawing.said,
    )
    likeliest, chance, drawn, its = found.groups()
    assert CORPUS.symbols[chances.argmax()] == likeliest
    assert int(chance) == round(100 * chances.max().item())
    assert drawing.text.value == f"hear me {drawn}"
    assert int(its) == round(100 * chances[CORPUS.symbols.index(drawn)].item())
    assert f'alt="{drawing.said.replace(chr(39), "&#x27;")}"' in drawing.picture.value
    assert drawing.said.replace("'", "&#x27;") in drawing.words.value


def test_the_text_can_be_changed_and_starts_again(drawing):
    first = drawing.text.value
    drawing.text.value = "After q"
    drawing.next.click()
    assert re.fullmatch(r"After q.", drawing.text.value, re.DOTALL)
    assert drawing.said.startswith("After 'After q' the likeliest is ")
    drawing.many.click()
    assert len(drawing.text.value) == len("After q") + 1 + MANY
    assert "The model sees at most the last 16 symbols." in drawing.said
    drawing.restart.click()
    assert drawing.text.value == first


def test_what_cannot_be_read_is_a_sentence_and_nothing_is_lost(drawing):
    drawing.text.value = "<b>é"
    drawing.next.click()
    assert "never seen" in drawing.words.value and "<b>" not in drawing.words.value
    assert drawing.text.value == "<b>é"
    drawing.text.value = ""
    drawing.next.click()
    assert len(drawing.text.value) == 1


def test_a_model_of_another_alphabet_begins_with_nothing(tiny, capsys):
    tokenizer = CharTokenizer("".join(chr(i) for i in range(200, 265)))
    assert len(draw_next(tiny, tokenizer).text.value) == 1
    assert draw_next(tiny, tokenizer, "a") is None
    assert "Nothing to draw yet: the model has never seen 'a'" in capsys.readouterr().out


def test_without_ipywidgets_it_says_what_is_missing(tiny, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert draw_next(tiny, CORPUS, "hear me") is None
    said, *_, way_out = capsys.readouterr().out.strip().split("\n")
    assert said.startswith("After 'hear me' the likeliest is ")
    exec(way_out, {"generate": generate, "model": tiny, "tokenizer": CORPUS})
    assert capsys.readouterr().out.startswith("hear me")


def test_where_there_is_no_kernel_a_picture_and_a_sentence_stand_in(drawing):
    bundle = drawing._repr_mimebundle_()
    assert bundle["text/plain"].startswith("After 'hear me ' the likeliest is ")
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle[WIDGET]["model_id"] == drawing.box.model_id


def test_the_dice_of_the_learner_stay_as_they_are(drawing):
    before = torch.get_rng_state()
    drawing.many.click()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_in_a_notebook_the_button_leaves_no_output_of_its_own():
    source = """
import torch
from nanogpt_lib import GPT, GPTConfig, CharTokenizer, draw_next
tokenizer = CharTokenizer("".join(chr(i) for i in range(32, 97)))
model = GPT(GPTConfig(block_size=16, n_layer=1, n_head=1, n_embd=16)).eval()
drawing = draw_next(model, tokenizer, "HEAR ME ")
drawing
"""
    pressed = "drawing.next.click(); drawing.text.value = '{'; drawing.many.click()"
    cells = [nbformat.v4.new_code_cell(code) for code in (source, pressed)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, store_widget_state=False).execute()
    printed, controls = notebook.cells[0].outputs
    assert printed.name == "stdout"
    assert set(controls.data) == {WIDGET, "text/plain", "image/png"}
    assert notebook.cells[1].outputs == []
