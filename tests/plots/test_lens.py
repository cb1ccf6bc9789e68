"""The picture of the logit lens."""

from nanogpt_lib import plots


def test_each_guess_stands_in_its_place_and_a_hit_has_a_frame():
    figure = plots.logit_lens("ab", ["tables", "block 0"], ["ab", " $"], [[1, 0.5], [0, 1]], "b$")
    axes = figure.axes[0]
    words = {text.get_position(): text for text in axes.texts}
    assert [words[t, i].get_text() for i in (0, 1) for t in (0, 1)] == ["a", "b", "␣", r"\$"]
    framed = [place for place, text in words.items() if text.get_bbox_patch()]
    assert framed == [(1, 1)]
    bottom, top = axes.get_ylim()
    assert bottom < top  # the tables are at the bottom, as the stream flows upwards
    assert figure.axes[0].get_xticklabels()[1].get_text() == "b"
