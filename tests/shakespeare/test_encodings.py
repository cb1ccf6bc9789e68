"""Files that are no UTF-8 text: what is said about them, and that the advice works."""

import bz2
import gzip
import io
import lzma
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.checks import TextError
from nanogpt_lib.shakespeare import own_text
from nanogpt_lib.shakespeare.encodings import refused
from nanogpt_lib.shakespeare.own_text import read_text

RUSSIAN = "Мороз и солнце; день чудесный!\nЕщё ты дремлешь, друг прелестный.\n"
FRENCH = "Longtemps, je me suis couché de bonne heure.\n«Je m’endors», à peine éteinte.\n"
TEXTS = {
    "cp1251": RUSSIAN,
    "koi8_r": RUSSIAN,
    "cp1252": FRENCH,
    "cp1253": "Άνδρα μοι έννεπε, Μούσα, πολύτροπον,\nος μάλα πολλά πλάγχθη.\n",
    "cp1255": "בראשית ברא אלהים את השמים ואת הארץ\nוהארץ היתה תהו ובהו וחשך על פני תהום\n",
    "cp1256": "كان يا ما كان في قديم الزمان، كان هناك ملك عظيم\n",
    "cp932": "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。\n",
    "euc_jp": "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。\n",
    "gb18030": "话说天下大势,分久必合,合久必分。\n这是我们的国家,人在这里不是很多的。\n",
    "big5": "話說天下大勢,分久必合,合久必分。\n這是我們的國家,人在這裡不是很多的。\n",
    "cp949": "모든 인간은 태어날 때부터 자유로우며\n그 존엄과 권리에 있어 동등하다.\n",
    "utf_16": FRENCH,
    "utf_16_le": RUSSIAN,
    "utf_16_be": FRENCH,
    "utf_32": RUSSIAN,
}
ALL_TEXTS = pytest.mark.parametrize(("encoding", "text"), TEXTS.items(), ids=TEXTS)


def advised(message: str, folder: Path) -> None:
    """Types the command of a message, as its reader would."""
    command = shlex.split(re.search(r"^  (python -c .*)$", message, re.MULTILINE)[1])
    subprocess.run([sys.executable, *command[1:]], cwd=folder, check=True)


@pytest.fixture
def bare(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@ALL_TEXTS
@pytest.mark.parametrize("times", [1, 40, 2000], ids=["short", "a page", "a book"])
def test_an_encoding_is_recognised_and_shows_how_the_text_would_read(encoding, text, times):
    message = refused(Path("own.txt"), (text * times).encode(encoding))
    first = next(line for line in text.split("\n") if not line.isascii())
    assert re.search(rf"^  {encoding} +{re.escape(first[:60])}$", message, re.MULTILINE)
    assert f"encoding='{encoding}'" in message
    assert "latin" not in message.lower() and "iconv" not in message


@ALL_TEXTS
def test_the_command_that_is_advised_gives_the_text(encoding, text, bare):
    path = Path("own.txt")
    path.write_bytes((text * 10).encode(encoding))
    with pytest.raises(TextError) as caught:
        read_text(path)
    advised(str(caught.value), bare)
    assert read_text(Path("own-utf8.txt")) == text * 10


@pytest.mark.parametrize("start", ["It is plain English here.\n", "no line ends here, "])
def test_a_text_is_judged_where_it_stops_to_be_plain_english(start):
    message = refused(Path("own.txt"), (start * 5000 + RUSSIAN * 50).encode("cp1251"))
    assert "encoding='cp1251'" in message


def test_a_name_that_a_shell_would_not_take_is_not_pasted():
    message = refused(Path("it's $HOME.txt"), RUSSIAN.encode("cp1251"))
    assert "open('old.txt', encoding='cp1251')" in message


def test_a_text_with_few_damaged_places_keeps_the_rest(bare):
    Path("own.txt").write_bytes(RUSSIAN.encode() + b"\xd0" + RUSSIAN.encode())
    with pytest.raises(TextError, match="most of it is: 1 places are damaged") as caught:
        read_text(Path("own.txt"))
    advised(str(caught.value), bare)
    assert read_text(Path("own-utf8.txt")) == f"{RUSSIAN}\ufffd{RUSSIAN}"


def zipped() -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("word/document.xml", "<w:p>Habe nun, ach!</w:p>")
    return file.getvalue()


KINDS = {
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "is a PDF, .*copy the text"),
    "PDF without high bytes": (b"%PDF-1.4\n1 0 obj\n", "is a PDF"),
    "docx": (zipped(), r"Word document \(\.docx\).*plain text in UTF-8, or unpack"),
    "RTF": (b"{\\rtf1\\ansi Habe nun, ach!\\par}", "is rich text .*plain text"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Word document"),
    "gzip": (gzip.compress(RUSSIAN.encode()), "compressed with gzip.*unpack it"),
    "bzip2": (bz2.compress(RUSSIAN.encode()), "compressed with bzip2"),
    "xz": (lzma.compress(RUSSIAN.encode()), "compressed with xz"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a picture"),
}


@pytest.mark.parametrize(("data", "words"), KINDS.values(), ids=KINDS)
def test_what_is_another_kind_of_file_is_called_by_its_name(data, words):
    message = refused(Path("own.txt"), data)
    assert re.search(words, message)
    assert "encoding='cp" not in message


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_the_command_that_unpacks_does(kind, bare):
    Path("own.txt.gz").write_bytes(KINDS[kind][0])
    with pytest.raises(TextError) as caught:
        read_text(Path("own.txt.gz"))
    advised(str(caught.value), bare)
    assert read_text(Path("own-utf8.txt")) == RUSSIAN


@given(st.binary(max_size=300))
def test_any_bytes_are_a_text_or_refused_in_words_that_a_terminal_can_show(data):
    message = refused(Path("own.txt"), data)
    if message is None:
        assert "\0" not in data.decode("utf-8-sig")
    else:
        assert message.startswith("own.txt ")
        assert "\x1b" not in message and "\x9b" not in message
        message.encode()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name on Windows")
def test_a_pipe_that_nobody_writes_to_is_refused_by_name(tmp_path):
    os.mkfifo(tmp_path / "own.txt")
    with pytest.raises(TextError, match=r"own\.txt cannot be read \(it is a pipe \(FIFO\)"):
        read_text(tmp_path / "own.txt")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_a_device_that_never_ends_is_refused_by_name():
    with pytest.raises(TextError, match=r"/dev/zero cannot be read \(it is a device"):
        read_text(Path("/dev/zero"))


def test_a_text_larger_than_the_memory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "own.txt"
    with open(path, "wb") as file:
        file.truncate(10**13)  # takes no place on the disk
    with pytest.raises(TextError, match=r"10,000,000 MB of text need about [\d,.]+ GB of memory"):
        read_text(path)
    most = own_text.psutil.virtual_memory().available // own_text.PEAK
    own_text.check_memory(path, most // 2)
