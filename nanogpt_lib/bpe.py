"""Text to numbers and back: byte-pair encoding, where a token is a piece of a word.

It starts from the 256 bytes, which can write any text. Then it makes the most frequent pair of
neighbours a new token, again and again. Sources: Sennrich et al. 2016, arXiv:1508.07909; over
bytes as in GPT-2 (Radford et al. 2019, section 2.2).
"""

import codecs
import heapq
import re
from collections import Counter, defaultdict
from itertools import pairwise

from nanogpt_lib.checks import LONGEST_TOKEN, check_ids, check_pieces, check_token, check_unknown

BYTES = 256  # number of tokens before the first merge; a byte's id is its value

# Merges stay inside a piece: a word with the space before it, a run of punctuation with the space
# before it, or a run of blanks. Otherwise "the.", "the," and whole phrases would become tokens.
# Letters are all beyond ASCII, and the apostrophe. As in GPT-2, a word keeps the space before it.
BLANK = r"\x00-\x20\x7f"
MARK = r"!-&(-/:-@\[-`{-~"  # ASCII's punctuation without the apostrophe
PIECE = re.compile(rf" ?[^{BLANK}{MARK}]+| ?[{MARK}]+|[{BLANK}]+(?= [^{BLANK}])|[{BLANK}]+")

# How Python treats half of a character, for each choice of `encode`.
HALVES = {"error": "strict", "drop": "ignore", "replace": "replace"}


class BPETokenizer:
    """Gives each byte a number, and each merged pair the next number.

    merges: pairs of ids in the order in which they were merged. Each pair gets the next id. If
    an earlier pair gave the same bytes, it gets the id of those bytes instead.
    """

    def __init__(self, merges=()):
        self.merges = []
        self.symbols = [bytes([value]) for value in range(BYTES)]  # a token's bytes, by its id
        self._id_of_bytes = {symbol: i for i, symbol in enumerate(self.symbols)}
        self._made = {}  # for each merged pair: its place among the merges, and its id
        self._known = {}  # the ids of pieces seen before: most words occur again
        for pair in merges:
            self._learn(tuple(pair))

    def _learn(self, pair: tuple[int, int]) -> int:
        """Adds a merge, if it is new; returns the id that the pair becomes."""
        if len(pair) != 2 or any(type(i) is not int or not 0 <= i < self.vocab_size for i in pair):
            raise ValueError(
                f"merge {len(self.merges)} joins {pair}: two ids below {self.vocab_size} are needed"
            )
        both = self.symbols[pair[0]] + self.symbols[pair[1]]
        check_token(both, len(self.merges))
        if both not in self._id_of_bytes:
            self._id_of_bytes[both] = self.vocab_size
            self.symbols.append(both)
        if pair not in self._made:
            self._made[pair] = (len(self.merges), self._id_of_bytes[both])
            self.merges.append(pair)
        return self._id_of_bytes[both]

    @classmethod
    def train(cls, text: str | Counter, vocab_size: int) -> "BPETokenizer":
        """Merges the most frequent pair of a text until there are `vocab_size` tokens.

        text: or how often each of its pieces occurs. If pairs are equally frequent, the one with
        the lower ids is merged. Training ends early if no pair occurs twice. Raises ValueError if
        vocab_size is below 256, if the text is empty, or if it holds halves of characters.
        """
        check_pieces(text, vocab_size, BYTES)
        pieces = text if isinstance(text, Counter) else Counter(PIECE.findall(whole(text)))
        words = [list(piece.encode()) for piece in pieces]  # each as ids, at first its bytes
        times = list(pieces.values())
        count: Counter[tuple] = Counter()  # how often each pair occurs in the text
        where = defaultdict(set)  # the words that it occurs in
        for i, word in enumerate(words):
            for pair in pairwise(word):
                count[pair] += times[i]
                where[pair].add(i)
        queue = [(-n, pair) for pair, n in count.items()]  # the most frequent comes out first
        heapq.heapify(queue)
        tokenizer = cls()
        while queue and tokenizer.vocab_size < vocab_size:
            n, best = heapq.heappop(queue)
            too_long = sum(len(tokenizer.symbols[i]) for i in best) > LONGEST_TOKEN
            if -n != count[best] or too_long:  # out of date: a newer entry is in the queue
                continue
            if -n < 2:
                break
            new, changed = tokenizer._learn(best), set()
            for i in where.pop(best):  # no other word changes
                for pair in pairwise(words[i]):
                    count[pair] -= times[i]
                    changed.add(pair)
                words[i] = merge(words[i], best, new)
                for pair in pairwise(words[i]):
                    count[pair] += times[i]
                    where[pair].add(i)
                    changed.add(pair)
            for pair in changed:
                heapq.heappush(queue, (-count[pair], pair))
        return tokenizer

    @property
    def vocab_size(self) -> int:
        return len(self.symbols)

    def encode(self, text: str, unknown: str = "error") -> list[int]:
        """Text to ids.

        unknown: bytes can write every character, so only halves of characters (surrogates) are
        unknown. "error" raises a ValueError that names the first. "drop" leaves them out.
        "replace" puts a question mark in their place.
        """
        check_unknown(unknown)
        ids = []
        for piece in PIECE.findall(whole(text, unknown)):
            if piece not in self._known:
                self._known[piece] = self._merged(piece)
            ids += self._known[piece]
        return ids

    def _merged(self, piece: str) -> list[int]:
        """A piece's ids: the merges in the order in which they were learnt."""
        ids = list(piece.encode())
        while known := [pair for pair in pairwise(ids) if pair in self._made]:
            first = min(known, key=self._made.__getitem__)
            ids = merge(ids, first, self._made[first][1])
        return ids

    def decode(self, ids) -> str:
        """Ids, a list or a 1-D tensor of integers, to text.

        Bytes that do not form a character become U+FFFD. Raises ValueError if an id has no token.
        """
        known = check_ids(ids, self.vocab_size)
        return b"".join(self.symbols[i] for i in known).decode(errors="replace")

    def decode_stream(self, columns):
        """Yields the text of each list of ids as it comes.

        The bytes of a character that is not whole yet are held back. All pieces together are what
        `decode` gives for all ids.
        """
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for ids in columns:
            known = check_ids(ids, self.vocab_size)
            yield decoder.decode(b"".join(self.symbols[i] for i in known))
        yield decoder.decode(b"", final=True)

    def to_dict(self) -> dict:
        """Plain data for a checkpoint; `from_dict` is the way back."""
        return {"type": "bpe", "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_dict(cls, data: dict) -> "BPETokenizer":
        return cls(data["merges"])


def merge(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """The ids with every occurrence of the pair, from left to right, replaced by `new`."""
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def whole(text: str, unknown: str = "error") -> str:
    """The text without halves of characters, which bytes cannot write; see `encode`."""
    try:
        return text.encode(errors=HALVES[unknown]).decode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{text[error.start]!r} at place {error.start:,} is half of a character (a surrogate) "
            'and cannot be written as bytes. Read the file again as UTF-8, or pass unknown="drop" '
            'or unknown="replace" (on the command line --unknown drop)'
        ) from None
