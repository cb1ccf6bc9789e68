"""GPT-2's tokenizer: the same idea as `bpe.py`, with its own way to cut a text into pieces.

Its 50,000 merges come from a file of yours: `vocab.bpe` or `merges.txt`, as OpenAI and the Hugging
Face hub have it. With the 256 bytes and the mark between documents that makes 50,257 tokens. The
`tokenizers` library merges, and `regex` knows what a letter is in every script. Source: Radford et
al. 2019, section 2.2.
"""

from pathlib import Path

from nanogpt_lib.bpe import BYTES, BPETokenizer, whole
from nanogpt_lib.checks import TextError, check_token, check_unknown
from nanogpt_lib.machine.files import read_file, why

DOCUMENT = "<|endoftext|>"  # the last token
# GPT-2's own: endings of English, letters, digits, marks (each with the space before it), blanks.
PIECE = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MOST_KEPT = 500_000  # pieces whose ids are kept: 0.1 GB


def byte_letters() -> list[str]:
    """A visible letter for each byte, as GPT-2 chose them.

    A byte that is visible in Latin-1 stands for itself. The others get letters from U+0100 on.
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(BYTES) if value not in shown]
    return [chr(v) if v in shown else chr(BYTES + others.index(v)) for v in range(BYTES)]


LETTERS = byte_letters()
FIRST = sorted(range(BYTES), key=LETTERS.__getitem__)  # the bytes in the order of their ids


class GPT2Tokenizer(BPETokenizer):
    """Gives GPT-2's ids. merges: pairs of ids, each of which gets the next id from 256 on.

    Needs `tokenizers` and `regex`, and raises ValueError, which says so, if one is not installed.
    """

    def __init__(self, merges=()):
        self.symbols = [bytes([value]) for value in FIRST]
        self.merges = [tuple(pair) for pair in merges]
        for i, (a, b) in enumerate(self.merges):
            if not 0 <= a < len(self.symbols) or not 0 <= b < len(self.symbols):
                raise ValueError(f"merge {i} joins {(a, b)}, which are not made before it")
            self.symbols.append(self.symbols[a] + self.symbols[b])
            check_token(self.symbols[-1], i)
        self.symbols.append(DOCUMENT.encode())
        self._known = {DOCUMENT: [self.vocab_size - 1]}
        try:
            import regex
            from tokenizers import models
        except ImportError:
            raise ValueError("GPT-2's tokenizer needs more: pip install tokenizers regex") from None
        self.pieces = regex.compile(f"{regex.escape(DOCUMENT)}|{PIECE}")
        names = ["".join(LETTERS[value] for value in symbol) for symbol in self.symbols[:-1]]
        pairs = [(names[a], names[b]) for a, b in self.merges]
        self.model = models.BPE({name: i for i, name in enumerate(names)}, pairs)

    @classmethod
    def from_file(cls, path: str | Path) -> "GPT2Tokenizer":
        """Reads `vocab.bpe` or `merges.txt`. Raises TextError, which names the line, if it is none.

        Each line holds two tokens, in the order of the merges; the first line may be a comment.
        """
        try:
            lines = read_file(Path(path)).decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            said = why(error) if isinstance(error, OSError) else "it is not UTF-8 text"
            raise TextError(f"the merges {path} cannot be read: {said}") from None
        id_of = {LETTERS[value]: i for i, value in enumerate(FIRST)}
        merges = []
        for number, line in enumerate(lines, start=1):
            pair = line.split(" ")
            if line.startswith("#version") or not line:
                continue
            if len(pair) != 2 or not set(pair) <= id_of.keys():
                raise TextError(f"{path}, line {number} is no merge of two known tokens: {line!r}")
            merges.append((id_of[pair[0]], id_of[pair[1]]))
            id_of.setdefault("".join(pair), BYTES + len(merges) - 1)
        return cls(merges)

    def encode(self, text: str, unknown: str = "error") -> list[int]:
        """Text to ids; `unknown` as for `BPETokenizer`. The mark of a document is one token."""
        check_unknown(unknown)
        ids = []
        if len(self._known) > MOST_KEPT:
            self._known = {DOCUMENT: [self.vocab_size - 1]}
        for piece in self.pieces.findall(whole(text, unknown)):
            if piece not in self._known:
                letters = "".join(LETTERS[value] for value in piece.encode())
                self._known[piece] = [token.id for token in self.model.tokenize(letters)]
            ids += self._known[piece]
        return ids

    def to_dict(self) -> dict:
        """Plain data for a checkpoint; `from_dict` is the way back."""
        return {"type": "gpt2", "merges": [list(pair) for pair in self.merges]}
