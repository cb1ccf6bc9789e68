"""Requests to a tuned model: what they are made of, and what counts as done."""

import random

import pytest

from experiments.__main__ import main as experiments
from nanogpt_lib.beyond import chat
from nanogpt_lib.beyond.chat import (
    NEW_WORDINGS,
    WORDINGS,
    Reply,
    examples,
    follows,
    pair_of,
    prompt_of,
    put_aside,
    replies,
    request_sets,
    speeches,
    success,
)
from nanogpt_lib.beyond.finetune import IGNORED, extend, pair_batch
from nanogpt_lib.runs.figures import read_record
from nanogpt_lib.runs.template import ASSISTANT, END, MARKS, USER


def test_speeches_are_names_and_lines_that_fit_every_request(text, pocket):
    _, tokenizer = extend(*pocket, MARKS)
    found = speeches(text)
    assert len(found) > 800
    assert ("ROMEO", "Is the day so young?") in found
    rng = random.Random(1)
    pair_batch(tokenizer, [pair_of(*speech, rng) for speech in found], block_size=64)


def test_no_wording_is_both_learnt_and_kept_back():
    for kind, wordings in WORDINGS.items():
        assert not set(wordings) & set(NEW_WORDINGS[kind])


def test_a_request_and_its_answer_name_the_same_speaker():
    prompt, answer = pair_of("ROMEO", "Is the day so young?", random.Random(1))
    assert "ROMEO" in prompt[1] and prompt[0] == USER and prompt[2] == ASSISTANT
    assert answer == ["ROMEO:\nIs the day so young?", END]
    assert prompt_of("Ask as {}.", "ROMEO") == [USER, "Ask as ROMEO.", ASSISTANT]
    assert chat.written(prompt + answer[1:]).endswith("<|assistant|><|end|>")


@pytest.mark.parametrize(
    ("answer", "kind", "good"),
    [
        (("ROMEO:\nAy me.", True), "speak", True),
        (("JULIET:\nAy me.", True), "speak", False),
        (("ROMEO:\nAy me.", False), "speak", False),
        (("ROMEO:\n", True), "speak", False),
        (("ROMEO:\nAy me.\nO.", True), "speak", False),
        (("ROMEO:\nAy me.", True), "ask", False),
        (("ROMEO:\nAy?", True), "ask", True),
    ],
)
def test_an_answer_follows_if_name_line_and_end_are_as_asked(answer, kind, good):
    assert follows(Reply(*answer), "ROMEO", kind) is good


def test_speakers_put_aside_are_in_no_lesson(text):
    lessons, new = put_aside(speeches(text))
    assert len(new) > 20
    assert not {speaker for speaker, _ in lessons} & set(new)


def test_requests_keep_apart_what_is_learnt_and_what_is_not(text):
    _, new = put_aside(speeches(text))
    sets = request_sets(text, 20)
    for speaker in (speaker for _, speaker, _ in sets["new speakers"] + sets["both new"]):
        assert speaker in new
    learnt = [wording for wordings in WORDINGS.values() for wording in wordings]
    assert all(wording in learnt for wording, _, _ in sets["as trained"])
    assert not any(wording in learnt for wording, _, _ in sets["new wordings"])
    assert [kind for _, _, kind in sets["both new"]].count("ask") == 10


def test_invented_names_come_as_often_as_asked_for_and_always_fit(text, pocket):
    _, tokenizer = extend(*pocket, MARKS)
    lessons, _ = put_aside(speeches(text))
    known = {speaker for speaker, _ in lessons}
    for share in (0.0, 0.9):
        _, y = examples(lessons, tokenizer, 100, share_invented=share)()
        names = [tokenizer.decode(row[row != IGNORED]).split(":")[0] for row in y]
        assert (sum(name in known for name in names) > 50) == (share == 0)


def test_success_is_the_share_of_requests_that_are_followed(pocket, monkeypatch):
    asked = [("Speak as {}.", "ROMEO", "speak"), ("Ask as {}.", "ROMEO", "ask")]
    monkeypatch.setattr(chat, "replies", lambda *_: [Reply("ROMEO:\nAy me.", True)] * 2)
    assert success(*pocket, asked) == 0.5


def test_replies_are_what_is_written_after_the_request(pocket):
    model, tokenizer = extend(*pocket, MARKS)
    (reply,) = replies(model, tokenizer, [("Speak as {}.", "ROMEO", "speak")])
    assert reply.text and USER.name not in reply.text and END.name not in reply.text


@pytest.mark.slow
def test_the_command_writes_a_record_that_can_be_read(tmp_path, capsys):
    experiments(
        [
            "chat",
            "--seeds",
            "1",
            "--steps",
            "1",
            "--tests",
            "2",
            "--batches",
            "1",
            "--out",
            str(tmp_path),
        ]
    )
    rows = read_record("chat", tmp_path)
    assert [row["way"] for row in rows if row["steps"] == 1] == list(chat.WAYS)
    assert all(row["val_loss_before"] != row["val_loss_after"] for row in rows)
    assert capsys.readouterr().out.count(" -> ") == len(rows) == 9
