"""Guesses are made blind: a copy without outputs does not answer what the notebook asks.

What is looked at is what stands on a learner's screen: text outside folds, and code that is not
folded. A fold is `<details>`; a folded cell has `source_hidden`.
"""

import json
import re
from pathlib import Path

import pytest

from nanogpt_lib.room.lab import without_outputs

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = ["00_start_here", "01_tokenizer", "02_attention", "03_model"]
PROMPT = "**Predict, then run:**"

# Exercises whose answer the next cell of code contains.
ANSWERED = {
    "bigram_counts": "torch.bincount(pair",
    "embedding_cost": "gpt2 * 384",
    "causal_weights": "masked_fill",
    "attention_head": "weights @ v",
    "split_heads": ".transpose(1, 2)",
    "count_params": "6 * (C * 4 * C",
}
# Words that give a guess away, for each of the prompts of a notebook, in their order.
GIVE_AWAY = {
    "00_start_here": ["Noise", "a few letters stand out"],
    "01_tokenizer": ["ixty-five", "4.17", "1.98", "recites", "lie on one side"],
    "02_attention": ["2 3 1", "forgets the order", "Like $", "a leak", "Nobody told them"],
    "03_model": [
        "one matrix does it",
        "no block hears",
        "bag of letters",
        "4.17",
        "the table is tied",
        "0 after tables",
        "learnt by heart, too",
        "does not get beyond",
    ],
}


def cells_of(name) -> list[dict]:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [
        {**cell, "source": "".join(cell["source"])} for cell in without_outputs(notebook)["cells"]
    ]


def printed_by(name) -> list[str]:
    """What each cell printed, as it is stored in the course."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [
        "".join("".join(o.get("text", "")) for o in cell.get("outputs", []))
        for cell in notebook["cells"]
    ]


def is_folded(cell) -> bool:
    return cell["metadata"].get("jupyter", {}).get("source_hidden", False)


def on_screen(cell) -> str:
    if cell["cell_type"] == "code":
        return "" if is_folded(cell) else cell["source"]
    return re.sub(r"<details>.*?</details>", "", cell["source"], flags=re.DOTALL)


def prompts(cells) -> list[int]:
    return [i for i, cell in enumerate(cells) if PROMPT in cell["source"]]


def after(cells, i) -> list[int]:
    """The cells on the screen after a prompt, up to the first text that follows code."""
    following, ran = [], False
    for j in range(i + 1, len(cells)):
        code = cells[j]["cell_type"] == "code"
        following.append(j)
        if ran and not code:
            break
        ran = ran or (code and "exercise" not in cells[j]["metadata"])
    return following


def test_all_prompts_are_looked_at():
    assert {name: len(prompts(cells_of(name))) for name in NAMES} == {
        name: len(words) for name, words in GIVE_AWAY.items()
    }
    assert sum(map(len, GIVE_AWAY.values())) == 20


@pytest.mark.parametrize("name", NAMES)
def test_no_number_that_answers_a_prompt_is_on_the_screen(name):
    """Numbers with decimals or a percent sign, which the code prints and the text may not say."""
    cells, printed = cells_of(name), printed_by(name)
    for i in prompts(cells):
        following = after(cells, i)
        told = re.findall(r"\d+\.\d+|\d+%", " ".join(printed[j] for j in following))
        asked = cells[i]["source"]
        screen = "\n".join(on_screen(cells[j]) for j in following)
        for number in set(told):
            assert number in asked or not re.search(rf"(?<![\d.]){number}(?!\d)", screen), (
                asked[-200:],
                number,
            )


@pytest.mark.parametrize("name", NAMES)
def test_no_word_that_answers_a_prompt_is_on_the_screen(name):
    cells = cells_of(name)
    for i, words in zip(prompts(cells), GIVE_AWAY[name], strict=True):
        screen = "\n".join(on_screen(cells[j]) for j in after(cells, i))
        assert words not in screen, words


@pytest.mark.parametrize("name", NAMES)
def test_code_that_answers_an_exercise_is_folded(name):
    cells = cells_of(name)
    for i, cell in enumerate(cells):
        answer = ANSWERED.get(cell["metadata"].get("exercise"))
        if answer:
            following = next(c for c in cells[i + 1 :] if c["cell_type"] == "code")
            assert answer in following["source"], answer  # else the table above is out of date
            assert is_folded(following), following["source"]


def test_every_exercise_of_the_table_is_there():
    known = {c["metadata"].get("exercise") for name in NAMES for c in cells_of(name)}
    assert ANSWERED.keys() <= known


def test_a_number_on_the_screen_would_be_found():
    cells = cells_of("01_tokenizer")
    i = prompts(cells)[1]  # what is the loss of someone who knows nothing?
    j = after(cells, i)[-1]
    assert "4.17" not in on_screen(cells[j])
    assert "4.174" in printed_by("01_tokenizer")[after(cells, i)[0]]
