"""README and docs: every command in them exists, and every file and link."""

import re
import shlex
from pathlib import Path

import pytest

from nanogpt_lib.cli import build_parser
from nanogpt_lib.milestones import OWN, TRAINING, VALIDATION
from nanogpt_lib.runs import catalogue

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
OURS = (
    "nanogpt_lib/",
    "notebooks/",
    "tests/",
    "tools/",
    "docs/",
    "nanogpt_lib/recorded",
    "benchmarks/",
)


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request):
    return request.param


def code(page) -> list[str]:
    """What stands between backticks, line by line, or in blocks that are indented or fenced."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(.*)$", text, flags=re.MULTILINE)
    return [*"\n".join(fenced).split("\n"), *indented, *re.findall(r"`([^`\n]+)`", text)]


def commands(page, program: str) -> list[list[str]]:
    """The words behind a program's name, for each place where it is called."""
    found = []
    for line in code(page):
        call = re.match(rf"(?:\S*[/\\])?{program} +(.*)", line.strip())
        if call:
            found.append(shlex.split(re.split(r"\s{2,}#|\s{4,}", call[1])[0]))
    return found


def told_sounds(path) -> list[str]:
    """What samples are said to sound like, wherever a page or a notebook quotes the library."""
    text = path.read_text(encoding="utf-8").replace('\\"', '"')
    names = "|".join({landmark.name for landmark in (*VALIDATION, *TRAINING)})
    quoted = rf"(?:(?:{names})(?:: | \()|would sound like )([^\n]*?)\)?\. It beats"
    return re.findall(quoted, text)


def test_what_samples_are_said_to_sound_like_is_what_the_library_says_today():
    known = {*OWN, *(landmark.sounds for landmark in (*VALIDATION, *TRAINING))}
    told = {path.name: told_sounds(path) for path in [*PAGES, *ROOT.glob("notebooks/*.ipynb")]}
    assert told["README.md"] and told["00_start_here.ipynb"]
    stale = {name: set(found) - known for name, found in told.items()}
    assert not {name: words for name, words in stale.items() if words}


def targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_there_are_commands_to_check():
    counts = {page.name: len(commands(page, "nanogpt")) for page in PAGES}
    assert counts["README.md"] >= 6
    assert counts["INSTRUCTOR.md"] >= 10
    assert counts["SELF_STUDY.md"] >= 5


def test_the_command_line_knows_every_command(page, capsys):
    for words in commands(page, "nanogpt"):
        try:
            build_parser().parse_args(words)
        except SystemExit as exit:
            assert exit.code == 0, (words, capsys.readouterr().err)


def test_every_recorded_run_that_is_named_is_there(page):
    for words in commands(page, "nanogpt"):
        if words[0] == "replay" and len(words) > 1:
            assert words[1] in catalogue.shipped(), words


def test_the_makefile_knows_every_target(page):
    for words in commands(page, "make"):
        assert words[0] in targets(), words


@pytest.mark.parametrize("wrong", ["nanogpt trian", "nanogpt sample --heat 2", "make tests"])
def test_a_command_that_does_not_exist_would_be_found(tmp_path, wrong):
    (tmp_path / "page.md").write_text(f"Try\n\n    .venv/bin/{wrong}     # a comment\n")
    page = tmp_path / "page.md"
    if wrong.startswith("make"):
        assert commands(page, "make")[0][0] not in targets()
    else:
        with pytest.raises(SystemExit):
            build_parser().parse_args(commands(page, "nanogpt")[0])


def test_every_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", link):
            assert (page.parent / link.split("#")[0]).exists(), link


def test_every_file_of_ours_that_is_named_is_there(page):
    named = [name for name in code(page) if name.startswith(OURS) and " " not in name]
    for name in named:
        assert (ROOT / name).exists(), name


def test_every_notebook_that_is_named_is_there(page):
    for name in re.findall(r"`([01]\d_\w+|colab_\w+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / "notebooks" / f"{name}.ipynb").exists(), name


def test_contributing_s_tree_names_every_file_of_the_library_once_and_nothing_else():
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n")
    tree = lines[
        lines.index("    nanogpt_lib/") + 1 : lines.index(
            "    experiments/        the programs that made them: python -m experiments NAME"
        )
    ]
    room, listed = "", []
    for line in tree:
        found = re.match(r"( {6}| {8})([\w/]+(?:\.py)?)(?: |$)", line)
        if not found:
            continue
        if found[2].endswith("/") and len(found[1]) == 6:
            room = found[2]
        elif found[2].endswith(".py"):
            listed.append((room if len(found[1]) == 8 else "") + found[2])
    whole = {"beyond/speed/", "course/exercises/"}  # a line each
    library = ROOT / "nanogpt_lib"
    there = [path.relative_to(library).as_posix() for path in library.rglob("*.py")]
    there = [name for name in there if not name.startswith(tuple(whole))]
    inits = {name for name in there if "/" in name and name.endswith("__init__.py")}
    inits.discard("shakespeare/__init__.py")
    assert sorted(listed) == sorted(set(there) - inits)


def test_the_clock_for_eighty_minutes_is_that_of_the_workshop():
    guide = (ROOT / "docs" / "INSTRUCTOR.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d):(\d\d) \| (\d+) \| (\d · [^|]+) \|", guide, flags=re.MULTILINE)
    workshop = (ROOT / "notebooks" / "colab_workshop.ipynb").read_text(encoding="utf-8")
    now = 0
    for hours, minutes, lasts, part in rows:
        assert int(hours) * 60 + int(minutes) == now, part
        assert f"## {part} *({lasts} minutes)*" in workshop
        now += int(lasts)
    assert now == 80


def test_the_clock_for_half_a_day_goes_right():
    guide = (ROOT / "docs" / "INSTRUCTOR.md").read_text(encoding="utf-8")
    section = guide.split("### Half a day\n")[1].split("\n### ")[0]
    now = 0
    for hours, minutes, lasts in re.findall(r"^\| (\d):(\d\d) \| (\d+) \|", section, re.MULTILINE):
        assert int(hours) * 60 + int(minutes) == now
        now += int(lasts)
    assert now == 240


def test_the_minutes_of_the_notebooks_are_their_own():
    guide = (ROOT / "docs" / "SELF_STUDY.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| \[`(\w+)`\]\(\S+\) \| (\d+) \|", guide, flags=re.MULTILINE)
    assert len(told) == 13
    for name, minutes in told:
        notebook = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
        assert f"| **Time** | {minutes} minutes" in notebook, name
