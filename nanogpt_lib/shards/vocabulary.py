"""Tokenizers for long texts: learnt from a stream of blocks, and fast at turning blocks into ids.

`BPETokenizer` is fast where words occur again: it keeps the ids of each piece that it has seen.
Where a piece is new, `FastBPE` lets the `tokenizers` library merge it, if that is installed. The
ids are the same.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from nanogpt_lib.bpe import BYTES, PIECE, BPETokenizer
from nanogpt_lib.checks import check_cap, check_max_symbols
from nanogpt_lib.shards.gpt2 import GPT2Tokenizer
from nanogpt_lib.tokenizer import MAX_SYMBOLS, UNKNOWN, CharTokenizer

Tokenizer = CharTokenizer | BPETokenizer
TOKENIZERS: dict[str, type[CharTokenizer] | type[BPETokenizer]]  # by what their data calls them
TOKENIZERS = {"char": CharTokenizer, "bpe": BPETokenizer, "gpt2": GPT2Tokenizer}

VOCAB = 1024  # tokens of a `bpe` vocabulary if nobody says how many
CODES = 0x110000  # Unicode's code points
MOST_PIECES = 500_000  # distinct pieces that are counted, and whose ids are kept: 0.1 GB
LETTERS = [chr(0x4E00 + value) for value in range(BYTES)]  # one for each byte


class Ready:
    """Learns nothing: the tokenizer is there already, such as GPT-2's from its file of merges."""

    def __init__(self, made: Tokenizer):
        self.made = made

    def add(self, text: str) -> None:
        pass

    def learn(self) -> Tokenizer:
        return self.made


def learner(kind: str, vocab: int | None, max_symbols: int | None) -> "Characters | Pieces | Ready":
    """What learns the tokenizer that is meant: "char", "bpe", or a file of GPT-2's merges."""
    if kind == "char":
        return Characters(max_symbols)
    return Pieces(vocab or VOCAB) if kind == "bpe" else Ready(GPT2Tokenizer.from_file(kind))


def codes(text: str) -> np.ndarray:
    """The code point of each character, uint32 (N,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


class Characters:
    """Learns a `CharTokenizer` from blocks: it counts what `CharTokenizer.train` counts."""

    def __init__(self, max_symbols: int | None = None):
        check_max_symbols(max_symbols)
        self.max_symbols = max_symbols
        self.counts = np.zeros(CODES, dtype=np.int64)

    def add(self, text: str) -> None:
        seen = np.bincount(codes(text))
        self.counts[: len(seen)] += seen

    def learn(self) -> CharTokenizer:
        found = np.flatnonzero(self.counts)
        check_cap(len(found), self.max_symbols, MAX_SYMBOLS)
        if self.max_symbols is None or len(found) <= self.max_symbols:
            return CharTokenizer("".join(map(chr, found)))
        by_count = found[np.argsort(-self.counts[found], kind="stable")]
        frequent = [symbol for symbol in map(chr, by_count) if symbol != UNKNOWN]
        return CharTokenizer("".join(sorted([*frequent[: self.max_symbols - 1], UNKNOWN])))


class Pieces:
    """Learns a `BPETokenizer` from blocks: it counts pieces, and the merges need no more.

    Of more than 500,000 distinct pieces, those that have occurred once are forgotten: to learn
    from so many takes a gigabyte. 100 MB of English and code hold 385,000.
    """

    def __init__(self, vocab_size: int = VOCAB):
        self.vocab_size = vocab_size
        self.counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        self.counts.update(PIECE.findall(text))
        least = 2
        while len(self.counts) > MOST_PIECES:
            self.counts = Counter({p: n for p, n in self.counts.items() if n >= least})
            least += 1

    def learn(self) -> BPETokenizer:
        return BPETokenizer.train(self.counts, self.vocab_size)


class FastBPE(BPETokenizer):
    """A `BPETokenizer` whose new pieces are merged by the `tokenizers` library, if it is there.

    Merging a piece by hand takes time with the square of its length, the library's way hardly more
    than its length. In most languages words are short and occur again, so both are fast; in Chinese
    or Thai a whole sentence is one piece.
    """

    def __init__(self, merges=()):
        super().__init__(merges)
        try:
            from tokenizers import models
        except ImportError:
            return
        names = ["".join(LETTERS[value] for value in symbol) for symbol in self.symbols]
        vocabulary = {name: i for i, name in enumerate(names)}
        pairs = [(names[a], names[b]) for a, b in self.merges]
        model = models.BPE(vocab=vocabulary, merges=pairs)
        self.tokenize: Callable = model.tokenize
        self._merged = self._merged_fast  # type: ignore[method-assign]

    def encode(self, text: str, unknown: str = "error") -> list[int]:
        if len(self._known) > MOST_PIECES:
            self._known.clear()
        return super().encode(text, unknown)

    def _merged_fast(self, piece: str) -> list[int]:
        letters = "".join(LETTERS[value] for value in piece.encode())
        return [token.id for token in self.tokenize(letters)]


def encoder(tokenizer: Tokenizer) -> Callable[[str], np.ndarray]:
    """A function from a block to its ids, in the type of `kind`. Equal to `tokenizer.encode`."""
    dtype = kind(tokenizer.vocab_size)
    if isinstance(tokenizer, GPT2Tokenizer):
        return lambda text: np.array(tokenizer.encode(text), dtype=dtype)
    if isinstance(tokenizer, BPETokenizer):
        fast = FastBPE(tokenizer.merges)
        return lambda text: np.array(fast.encode(text), dtype=dtype)
    known = codes(tokenizer.symbols)
    stranger = tokenizer.vocab_size  # the id that no symbol has
    if UNKNOWN in tokenizer.symbols:
        stranger = tokenizer.symbols.index(UNKNOWN)
    id_of = np.full(CODES, stranger, dtype=np.uint32)
    id_of[known] = np.arange(len(known), dtype=np.uint32)

    def encode(text: str) -> np.ndarray:
        ids = id_of[codes(text)]
        if stranger == tokenizer.vocab_size and (ids == stranger).any():
            tokenizer.encode(text)  # raises ValueError with the names of the strangers
        return ids.astype(dtype)

    return encode


def tell(asked: int, made: int) -> None:
    """Says it if a text gave fewer tokens than were asked for."""
    if made < asked:
        print(
            f"note: of the {asked:,} tokens that were asked for, {made:,} were made: then no two "
            "neighbours occurred twice any more in this text",
            file=sys.stderr,
        )


def kind(vocab_size: int) -> type:
    """The type of a token in a file: nanoGPT's uint16, or uint32 if that cannot hold all ids."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def characters_of(tokenizer: Tokenizer) -> np.ndarray:
    """How many characters end in each token, int64 (V,): of all bytes, those that begin one."""
    if isinstance(tokenizer, CharTokenizer):
        return np.ones(tokenizer.vocab_size, dtype=np.int64)
    return np.array([sum(b & 0xC0 != 0x80 for b in symbol) for symbol in tokenizer.symbols])


def count_characters(ids: Iterable[np.ndarray], tokenizer: Tokenizer) -> int:
    """The characters that these arrays of ids write."""
    each = characters_of(tokenizer)
    return int(sum(each[part].sum() for part in ids))
