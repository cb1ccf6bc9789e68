"""What may be asked of the server: settings, stop texts, and that nothing is quietly ignored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.room.web import asked
from nanogpt_lib.room.web.asked import Refused, Until, prepare, read, write
from nanogpt_lib.sampling import generate

LETTERS = st.text("ab\n", max_size=30)


def body(**settings) -> bytes:
    return json.dumps(settings).encode()


def cut(text: str, stops: list[str]) -> str:
    places = [text.find(stop) for stop in stops if stop in text]
    return text[: min(places)] if places else text


@given(
    pieces=st.lists(LETTERS), stops=st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)
)
def test_a_text_ends_before_its_first_stop_however_it_comes_in_pieces(pieces, stops):
    until = Until(pieces, stops)
    assert "".join(until) == cut("".join(pieces), stops)
    assert until.stopped == any(stop in "".join(pieces) for stop in stops)


@given(pieces=st.lists(LETTERS), stop=st.text("ab", min_size=1, max_size=4))
def test_what_is_held_back_is_never_more_than_a_stop_may_need(pieces, stop):
    given_out = come = ""
    for i, piece in enumerate(Until(pieces, [stop])):
        given_out += piece
        come = "".join(pieces[: i + 1])
        if stop not in come:
            assert len(come) - len(given_out) < len(stop)


def test_what_is_written_is_what_generate_writes(pocket):
    model, tokenizer = pocket
    answer = prepare(read(body(prompt=["ROMEO:", "A"], n=2, max_tokens=30, seed=5)), *pocket)
    texts = ["", "", "", ""]
    for choice, piece in write(answer, model, tokenizer):
        texts[choice.index] += piece
    for i, prompt in enumerate(["ROMEO:", "ROMEO:", "A", "A"]):
        settings = {"temperature": 1.0, "top_k": None, "seed": 5 + i}
        assert prompt + texts[i] == generate(model, tokenizer, prompt, 30, **settings)
    assert answer.usage() == {
        "prompt_tokens": 7,
        "completion_tokens": 120,
        "total_tokens": 127,
    }
    assert {choice.finish for choice in answer.choices} == {"length"}


def test_a_stop_ends_the_work_and_not_only_the_text(pocket):
    answer = prepare(read(body(prompt="ROMEO:", max_tokens=500, stop="\n", seed=1)), *pocket)
    text = "".join(piece for _, piece in write(answer, *pocket))
    (choice,) = answer.choices
    assert choice.finish == "stop" and "\n" not in text
    assert choice.tokens == len(text) + 1  # the newline was written, too, and nothing after it


def test_the_prompt_comes_back_if_it_is_asked_for(pocket):
    answer = prepare(read(body(prompt="ROMEO:", echo=True, max_tokens=5)), *pocket)
    assert "".join(piece for _, piece in write(answer, *pocket)).startswith("ROMEO:")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"logprobs": 3}, "no setting 'logprobs'"),
        ({"frequency_penalty": 0.5}, "no setting 'frequency_penalty'"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater"),
        ({"max_tokens": asked.MOST_TOKENS + 1}, "max_tokens: Input should be less"),
        ({"max_tokens": "many"}, "max_tokens: "),
        ({"temperature": -1}, "temperature: "),
        ({"temperature": 1e9}, "temperature: "),
        ({"top_p": 0}, "top_p: "),
        ({"n": 9}, "n: "),
        ({"prompt": []}, "from 1 to 8 texts"),
        ({"prompt": ["a"] * 3, "n": 3}, "from 1 to 8 texts"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"stop": ["a"] * 5}, "up to 4 texts"),
        ({"stop": ""}, "up to 4 texts"),
        ({"seed": 2**70}, "seed: "),
        ({"stream": "perhaps"}, "stream: "),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(settings, words):
    with pytest.raises(Refused, match=words):
        read(body(**settings))


@pytest.mark.parametrize(
    "wrong", [b"", b"{", b"[]", b"null", b"\xff", b'{"prompt": NaN}', b"1" * 99]
)
def test_what_is_no_request_is_refused(wrong):
    with pytest.raises(Refused):
        read(wrong)


def test_what_asks_for_nothing_is_no_reason_to_refuse():
    neutral = {"frequency_penalty": 0, "presence_penalty": 0.0, "best_of": 1, "logit_bias": {}}
    found = read(body(prompt="a", max_tokens=None, logprobs=None, suffix=None, **neutral))
    assert found == read(body(prompt="a"))


@pytest.mark.parametrize("settings", [{"prompt": "é"}, {"unknown": "guess"}])
def test_what_the_model_cannot_read_is_refused(pocket, settings):
    with pytest.raises(Refused):
        prepare(read(body(**settings)), *pocket)
    assert prepare(read(body(prompt="é!", unknown="drop")), *pocket).choices[0].ids
