"""What a terminal is given to show."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.machine.terminal import harmless


@given(st.text(), st.text())
def test_nothing_that_acts_is_left_and_pieces_give_what_the_whole_gives(one, other):
    shown = harmless(one + other)
    assert shown == harmless(one) + harmless(other)
    assert len(shown) == len(one + other)
    shown.encode()
    assert not any(unicodedata.category(c) == "Cc" for c in shown if c not in "\n\t")
    assert not set(shown) & {"\x1b", "\x9b", "\r", "\x07", "\u202e", "\u2066", "\ufeff"}


def test_text_of_any_language_stays_as_it_is():
    text = "\tTo be,\nשלום\u200f, мир, می\u200cخواهم, 吾輩, 👩\u200d🚀, Fuß\u00adball\n"
    assert harmless(text) == text
