"""Text to numbers and back, one character a token."""

from collections import Counter

from nanogpt_lib.checks import (
    check_cap,
    check_ids,
    check_max_symbols,
    check_symbols,
    check_unknown,
    never_seen,
)

UNKNOWN = "\ufffd"  # Unicode's replacement character: it stands for all symbols beyond the cap

# With more symbols the embedding outgrows the model, and most are too rare to be learnt.
MAX_SYMBOLS = 4096


class CharTokenizer:
    """Gives every character of a text a number, in the order of Unicode.

    symbols: the distinct characters; a symbol's id is its place. If U+FFFD is one of them, it is
    the unknown symbol, and `encode` uses it for characters that are not among the symbols.
    """

    def __init__(self, symbols: str):
        check_symbols(symbols)
        self.symbols = symbols
        self._id_of = {symbol: i for i, symbol in enumerate(symbols)}

    @classmethod
    def train(cls, text: str, max_symbols: int | None = None) -> "CharTokenizer":
        """The tokenizer of a text: its distinct characters, sorted.

        max_symbols: the largest number of symbols. The most frequent characters are kept; one
        unknown symbol stands for the rest. Raises ValueError if there are over 4,096 and no cap.
        """
        check_max_symbols(max_symbols)
        counts = Counter(text)
        check_cap(len(counts), max_symbols, MAX_SYMBOLS)
        symbols = list(counts)
        if max_symbols is not None and len(symbols) > max_symbols:
            kept = [symbol for symbol, _ in counts.most_common() if symbol != UNKNOWN]
            symbols = [*kept[: max_symbols - 1], UNKNOWN]
        return cls("".join(sorted(symbols)))

    @property
    def vocab_size(self) -> int:
        return len(self.symbols)

    def encode(self, text: str, unknown: str = "error") -> list[int]:
        """Characters to ids.

        unknown: what happens to characters that the tokenizer does not know. "error" raises a
        ValueError that names them. "drop" leaves them out. "replace" puts the unknown symbol in
        their place (or a space, or symbol 0, if the tokenizer has no unknown symbol). A
        tokenizer that has an unknown symbol uses it instead of raising.
        """
        check_unknown(unknown)
        if unknown == "drop":
            return [self._id_of[c] for c in text if c in self._id_of]
        if unknown == "replace" or UNKNOWN in self._id_of:
            stand_in = self._id_of.get(UNKNOWN, self._id_of.get(" ", 0))
            return [self._id_of.get(c, stand_in) for c in text]
        try:
            return [self._id_of[c] for c in text]
        except KeyError:
            raise never_seen(text, self.symbols) from None

    def decode(self, ids) -> str:
        """Ids, a list or a 1-D tensor, to text. Raises ValueError if an id has no symbol."""
        return "".join(self.symbols[i] for i in check_ids(ids, self.vocab_size))

    def decode_stream(self, columns):
        """Yields the text of each list of ids as it comes."""
        for ids in columns:
            yield self.decode(ids)

    def to_dict(self) -> dict:
        """Plain data for a checkpoint; `from_dict` is the way back."""
        return {"type": "char", "symbols": self.symbols}

    @classmethod
    def from_dict(cls, data: dict) -> "CharTokenizer":
        return cls(data["symbols"])
