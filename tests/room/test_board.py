"""The class board: many records, whoever wrote them, on one plot and in one table."""

import re
import warnings
from html.parser import HTMLParser

import pytest
from made_records import ABOUT, point, write

from nanogpt_lib import plots
from nanogpt_lib.cli import main
from nanogpt_lib.plots.style import PALETTE
from nanogpt_lib.room import board
from nanogpt_lib.room.board import compare, tell_apart
from nanogpt_lib.runs import untrusted
from nanogpt_lib.runs.record import RecordError


@pytest.fixture
def room(tmp_path):
    """A folder of records as a class hands them in."""
    write(tmp_path / "alice.jsonl", points=[point(0, 4.2), point(10, 2.5), point(20, 2.7)])
    write(tmp_path / "bob" / "run.jsonl", points=[point(0, 4.1), point(20, 2.2)])
    write(tmp_path / "deep" / "er" / "carol.jsonl", points=[point(0, 4.3), point(20, 2.6)])
    return tmp_path


def names(comparison):
    return [row.name for row in comparison.rows]


# The table


def test_a_folder_becomes_a_board_with_the_lowest_loss_first(room):
    rows = compare(room).rows
    assert [(row.rank, row.name, row.loss) for row in rows] == [
        (1, "bob", 2.2),
        (2, "alice", 2.5),
        (3, "carol", 2.6),
    ]
    alice = rows[1]
    assert (alice.step, alice.seconds, alice.n_params) == (10, 1.0, 1000)
    assert alice.tokens_per_second == 200 / 2.0  # of the whole run
    assert alice.reached == "beyond counting"  # this ladder ends at the frequencies


def test_a_run_validated_on_what_it_was_trained_on_has_no_rank(room):
    copied = ABOUT | {"text": ABOUT["text"] | {"name": "twice.txt", "sha256": "cd" * 32}}
    for name, share in (("eve", 0.96), ("mallory", 0.1), ("trent", 1.0)):  # as many as the honest
        text = copied["text"] | {"copied": share}
        write(room / f"{name}.jsonl", copied | {"text": text}, [point(0, 4.2), point(20, 0.1)])
    write(room / "frank.jsonl", ABOUT | {"text": ABOUT["text"] | {"copied": 0.09}})
    compared = compare(room)
    assert names(compared)[:4] == ["bob", "alice", "carol", "frank"]
    assert [row.rank for row in compared.rows[4:]] == [None] * 3
    alone = compare(room / "eve.jsonl")
    assert alone.rows[0].reached == "96% of the validation text is in the training text, too"
    assert "none of which can be ranked" in alone.summary
    assert alone.figure.axes


def test_the_figures_are_those_of_a_real_record():
    (row,) = compare("healthy").rows
    history = untrusted.read("healthy").history
    best = min(history, key=lambda point: point.val_loss)
    assert (row.loss, row.step, row.seconds) == (best.val_loss, best.step, best.seconds)
    assert row.tokens_per_second == history[-1].tokens / history[-1].seconds


def test_bad_records_are_named_with_the_reason_and_the_others_compared(room):
    (room / "empty.jsonl").write_bytes(b"")
    (room / "package.json").write_text('{"name": "foreign"}\n', encoding="utf-8")
    write(room / "negative.jsonl", points=[point(-1)])
    compared = compare(room)
    assert names(compared) == ["bob", "alice", "carol"]
    told = "\n".join(compared.skipped)
    assert len(compared.skipped) == 3
    for words in ("empty.jsonl: is empty", "package.json: line 1", "negative.jsonl: line 2"):
        assert words in told
    assert all(f"Skipped: {reason}" in str(compared) for reason in compared.skipped)


def test_where_nothing_is_left_it_says_so_and_why(tmp_path):
    with pytest.raises(RecordError, match="no run record to compare: nothing was found"):
        compare(tmp_path)
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(RecordError, match=r"no run record to compare\n  .*empty.jsonl: is empty"):
        compare(tmp_path)
    with pytest.raises(RecordError, match=r"there is no run record .*nowhere"):
        compare(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"by must be .tokens., .steps. or .seconds., not 'loss'"):
        compare(tmp_path, by="loss")


@pytest.mark.parametrize(
    "part, change, words",
    [
        ("text", {"sha256": "cd" * 32, "name": "greek.txt"}, "another text: greek.txt"),
        ("text", {"val_tokens": 30}, "another part of the text"),
        ("model", {"vocab_size": 50}, "other symbols"),
    ],
)
def test_losses_over_something_else_have_no_rank(room, part, change, words):
    about = ABOUT | {part: ABOUT[part] | change}
    write(room / "odd.jsonl", about, [point(0, 1.9)])
    compared = compare(room)
    assert [row.rank for row in compared.rows] == [1, 2, 3, None]
    assert (compared.rows[-1].name, compared.rows[-1].reached) == ("odd", words)
    assert "not comparable" in str(compared)


def test_a_loss_too_low_to_be_true_does_not_win():
    compared = compare("patient-d", "healthy")
    assert [(row.rank, row.name) for row in compared.rows] == [(1, "healthy"), (None, "patient-d")]
    assert "does it see the answers?" in compared.rows[1].reached


def test_a_run_of_which_no_loss_was_ever_a_number_comes_last(room):
    write(room / "dora.jsonl", points=[point(0, None), point(20, None)])
    rows = compare(room).rows
    assert (rows[-1].name, rows[-1].rank, rows[-1].reached) == ("dora", None, "diverged")
    compare(room / "dora.jsonl").figure.draw_without_rendering()


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [
        tmp_path / "mon" / "alice" / "run.jsonl",
        tmp_path / "tue" / "alice.jsonl",
        tmp_path / "tue" / "bob.jsonl",
        tmp_path / "tue" / "alice" / "run.jsonl",
    ]
    assert tell_apart(paths) != tell_apart(paths[::-1])
    assert len(set(tell_apart(paths))) == 4
    assert tell_apart(paths[:3]) == ["mon/alice", "tue/alice", "bob"]


def test_one_record_named_twice_is_one_run(room):
    assert len(compare(room, room / "alice.jsonl", room / "bob").rows) == 3


# In a notebook


class Tags(HTMLParser):
    """The tags of a page, and what stands between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_nothing_in_a_record_becomes_markup(room):
    evil = "<img src=x onerror=alert(1)>"
    write(room / "a&b.jsonl", ABOUT | {"text": ABOUT["text"] | {"name": evil, "sha256": "0"}})
    write(room / "eve.jsonl", points=[point(0) | {"val_loss": "<b>"}])
    page = Tags(compare(room).html())
    assert page.tags == {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert f"another text: {evil}" in page.words and "a&b" in page.words
    assert any("a valid number, not '<b>'" in words for words in page.words)


def test_a_notebook_shows_a_picture_in_words_too_and_a_table(room, monkeypatch):
    shown = []
    monkeypatch.setattr(
        board, "show", lambda handle, bundle, metadata=None: shown.append((bundle, metadata))
    )
    compared = compare(room)
    compared._ipython_display_()
    (picture, metadata), (table, _) = shown
    assert set(picture) == {"image/png", "text/plain"}
    assert metadata["image/png"]["alt"] == picture["text/plain"] == compared.summary
    assert compared.summary.startswith("3 runs by tokens. The best: bob, validation loss 2.200")
    assert set(table) == {"text/html", "text/plain"} and table["text/plain"] == str(compared)


# The picture


def coloured(figure):
    """The curves that are not grey: {colour: (x, y)}."""
    curves = [line for line in figure.axes[0].lines if line.get_color() in PALETTE]
    return {
        line.get_color(): line.get_xydata().tolist() for line in curves if len(line.get_xdata()) > 1
    }


@pytest.mark.parametrize(
    "by, last", [("tokens", 200), ("steps", 20), ("seconds", 2.0)], ids=["tokens", "steps", "time"]
)
def test_curves_are_drawn_over_what_was_asked_for(room, by, last):
    figure = compare(room, by=by).figure
    assert coloured(figure)[PALETTE[0]] == [[0, 4.1], [last, 2.2]]  # the best
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "1. bob  2.200" in words and "2. alice  2.500" in words


def test_of_thirty_runs_six_stand_out_and_no_names_overlap():
    curves = {f"learner {i}": ([0, 10, 20], [4.2, 2.5, 1.8 + 0.01 * i]) for i in range(30)}
    figure = plots.board(curves, list(curves), "step", ABOUT["ladder"])
    figure.draw_without_rendering()
    assert len(coloured(figure)) == 6
    labels = [t for t in figure.axes[0].texts if re.match(r"\d\. learner", t.get_text())]
    assert len(labels) == 6
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_any_name_can_be_drawn_without_a_word_of_warning(room):
    about = ABOUT | {"text": ABOUT["text"] | {"name": r"$\frac{$"}}
    names = ("$", "$x$", "{}%s", "\u674e\u96f7", "\N{GRINNING FACE}")
    for name in names:
        write(room / f"{name}.jsonl", about, points=[point(0, 2.0)])
    compared = compare(*(room / f"{name}.jsonl" for name in names))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compared.save(room / "board.png")
    assert (room / "board.png").read_bytes().startswith(b"\x89PNG")


# The command


def test_the_command_prints_the_table_and_draws_the_picture(room, capsys, monkeypatch):
    monkeypatch.chdir(room)
    assert main(["compare", ".", "--by", "seconds"]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[1].split()[:4] == ["1", "bob", "2.200", "20"]
    assert output.endswith("The curves: compare.png\n")
    assert (room / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert main(["compare", "alice.jsonl", "--out", "two words.png"]) == 0
    assert (room / "two words.png").exists()


def test_without_a_name_the_command_compares_all_there_is_in_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare"]) == 2
    assert "there are no runs in" in capsys.readouterr().err
    write(tmp_path / "runs" / "pocket-2" / "run.jsonl")
    assert main(["compare"]) == 0
    assert "pocket-2" in capsys.readouterr().out


def test_a_sample_cannot_reach_the_terminal_s_controls(room, capsys):
    write(room / "eve.jsonl", points=[point(0, 4.2, sample="\x1b]0;owned\x07"), point(20)])
    assert main(["replay", str(room / "eve.jsonl"), "--seconds", "0.01"]) == 0
    output = capsys.readouterr().out
    assert "owned" in output and "\x1b" not in output and "\x07" not in output
