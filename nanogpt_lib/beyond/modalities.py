"""A picture or a sound as a prefix to the same GPT.

The blocks of a GPT work on vectors, and it does not matter where these come from. Words become
vectors in a table. Here a picture is cut into patches and a sound into frames. One linear layer
turns each of these pieces into a vector as long as a word's. The pieces come before the words, and
the unchanged GPT of `model.py` reads both.

Letters in the shape comments: those of `model.py`, and `P` pieces before the words, `S` numbers
in a piece.

Sources: Dosovitskiy et al. 2021, arXiv:2010.11929 (patches through one linear layer); Tsimpoukelli
et al. 2021, arXiv:2106.13884 (a prefix to a language model); Liu et al. 2023, arXiv:2304.08485
(the same with one linear layer between); Radford et al. 2022, arXiv:2212.04356 (sound as
log-spectrogram frames).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from nanogpt_lib.beyond.finetune import IGNORED, tune
from nanogpt_lib.model import GPT, Block
from nanogpt_lib.sampling import continuations, dropout_off
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig

END = "\n"  # a caption begins after one and ends with one


def patches(images, size: int = 2):
    """Cuts pictures into squares, row by row: (N, H, W) -> (N, P, size * size).

    Raises ValueError where the squares do not fill the picture.
    """
    N, H, W = images.shape
    if H % size or W % size:
        raise ValueError(f"squares of {size} do not fill a picture of {H} by {W}")
    grid = images.view(N, H // size, size, W // size, size)
    grid = grid.transpose(2, 3)  # (N, rows, columns, size, size)
    return grid.reshape(N, -1, size * size)


def spectrogram(sounds, window: int = 512, hop: int = 256, floor: float = 6.0):
    """How loud each frequency is, moment by moment: (N, samples) -> (N, P, window / 2 + 1).

    window, hop: samples in a frame, and from one frame to the next. Each number is a power of ten:
    1 for the loudest of the sound, 0 for what has 10 ** -floor of its power or less.
    Raises ValueError for a sound that is shorter than a frame.
    """
    if sounds.size(-1) < window:
        raise ValueError(f"a frame needs {window} samples, the sound has {sounds.size(-1)}")
    frames = sounds.unfold(-1, window, hop)  # (N, P, window)
    faded = frames * torch.hann_window(window)  # hard edges would sound at all frequencies
    power = torch.fft.rfft(faded).abs() ** 2  # (N, P, window / 2 + 1)
    log = power.clamp(min=1e-12).log10()
    loudest = log.amax(dim=(1, 2), keepdim=True)  # (N, 1, 1): how near the microphone was
    return (log - loudest + floor).clamp(min=0) / floor


class PrefixGPT(nn.Module):
    """A GPT that sees a picture or a sound before it reads.

    gpt: any GPT; its own positions are for the words only. n_pieces, piece_size: P and S of what
    it sees.
    """

    def __init__(self, gpt: GPT, n_pieces: int, piece_size: int):
        super().__init__()
        self.gpt = gpt
        self.encoder = nn.Linear(piece_size, gpt.config.n_embd)  # what the piece is
        self.place = nn.Embedding(n_pieces, gpt.config.n_embd)  # its position
        for layer in (self.encoder, self.place):
            nn.init.normal_(layer.weight, std=0.02)  # as large as the GPT's own embeddings
        nn.init.zeros_(self.encoder.bias)

    def embed(self, pieces, idx):
        """Pieces (B, P, S) and ids (B, T) to one stream of vectors (B, P + T, C)."""
        expected = (self.place.num_embeddings, self.encoder.in_features)
        if tuple(pieces.shape[1:]) != expected:
            raise ValueError(
                f"pieces of shape (B, {expected[0]}, {expected[1]}) are expected, not "
                f"{tuple(pieces.shape)}"
            )
        prefix = self.encoder(pieces) + self.place.weight  # (B, P, C)
        return torch.cat((prefix, self.gpt.embed(idx)), dim=1)

    def forward(self, pieces, idx, targets=None):
        """Predicts the next token at every word: (B, P, S) and ids (B, T) -> logits (B, T, V).

        targets: int64 (B, T), IGNORED where there is nothing to predict. Returns logits and the
        loss, a mean in nats a token, or None without targets; nothing is asked of the pieces.
        """
        x = self.embed(pieces, idx)  # (B, P + T, C)
        for block in self.gpt.transformer.h:
            x = block(x)
        x = x[:, pieces.size(1) :]  # (B, T, C): the words
        logits = self.gpt.lm_head(self.gpt.transformer.ln_f(x))  # (B, T, V)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        return logits, loss

    @torch.no_grad()
    def attention(self, pieces, idx):
        """Attention from words to pieces: (B, P, S) and ids (B, T) -> (n_layer, B, nh, T, P).

        A row sums to less than 1: the rest goes to words.
        """
        x = self.embed(pieces, idx)
        P, maps = pieces.size(1), []
        for block in self.gpt.transformer.h:
            assert isinstance(block, Block)  # a ModuleList does not tell what it holds
            weights = block.attn.weights(block.ln_1(x))  # (B, nh, P + T, P + T)
            maps.append(weights[:, :, P:, :P])
            x = block(x)
        return torch.stack(maps)


def three_parts(n: int, seed: int = 1):
    """Shuffled indices in three parts: two thirds to train, a ninth to choose, the rest to test.

    Returns three int64 tensors that share no index and together hold all of 0 to n - 1.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order.tensor_split((2 * n // 3, 2 * n // 3 + n // 9))


def encode_captions(tokenizer: CharTokenizer, captions: list[str], length: int):
    """Captions as what the model reads and what it should predict, int64 (N, length) each.

    Both begin at the place of END, and are padded after the caption's end. Raises ValueError for a
    caption that does not fit.
    """
    end = tokenizer.encode(END)[0]
    idx = torch.full((len(captions), length), end)
    targets = torch.full((len(captions), length), IGNORED)
    for i, caption in enumerate(captions):
        ids = torch.tensor(tokenizer.encode(END + caption + END))
        if len(ids) - 1 > length:
            raise ValueError(f"{caption!r} needs a context of {len(ids) - 1}, not {length}")
        idx[i, : len(ids) - 1] = ids[:-1]
        targets[i, : len(ids) - 1] = ids[1:]
    return idx, targets


def fit(model: PrefixGPT, pieces, idx, targets, config: TrainConfig) -> list[float]:
    """Trains a PrefixGPT on randomly chosen pairs; returns the loss of each step.

    pieces: (N, P, S). idx, targets: (N, T) each, from `encode_captions`. config: its max_steps,
    batch_size, rates, clipping and seed are used. Weights whose requires_grad is False do
    not change.
    """
    generator = torch.Generator().manual_seed(config.seed)

    def draw():
        some = torch.randint(len(pieces), (config.batch_size,), generator=generator)  # (B,)
        return pieces[some], idx[some], targets[some]

    return tune(model, draw, config)


class Seen:
    """A PrefixGPT that has its pieces already, as the sampler calls a GPT: it takes words only."""

    def __init__(self, model: PrefixGPT, pieces):
        self.model, self.pieces = model, pieces
        self.gpt, self.config = model.gpt, model.gpt.config
        self.lm_head, self.training = model.gpt.lm_head, False
        self.new_caches = model.gpt.new_caches

    def __call__(self, idx, caches):
        """Ids (B, T) to logits (B, T, V). The pieces go into the caches first."""
        if len(caches[0]) == 0:
            x = self.model.embed(self.pieces, idx)  # (B, P + T, C)
        else:
            x = self.gpt.embed(idx, start=len(caches[0]) - self.pieces.size(1))  # (B, T, C)
        for block, cache in zip(self.gpt.transformer.h, caches, strict=True):
            x = block(x, cache)
        words = x[:, -idx.size(1) :]  # (B, T, C)
        return self.gpt.lm_head(self.gpt.transformer.ln_f(words)), None


@torch.no_grad()
def caption(model: PrefixGPT, tokenizer: CharTokenizer, pieces) -> list[str]:
    """What a model says about each of (N, P, S), always taking the likeliest symbol.

    A caption that does not end is cut when the context is full.
    """
    end, room = tokenizer.encode(END)[0], model.gpt.config.block_size
    said: list[list[int]] = [[] for _ in pieces]
    with dropout_off(model):
        seen, begin = Seen(model, pieces), [[end] for _ in pieces]
        for column in continuations(seen, begin, room, 0, None, None, None, True):
            for ids, i in zip(said, column, strict=True):
                ids.append(end if i is None else i)
            if all(end in ids for ids in said) or len(said[0]) == room:
                break
    return [tokenizer.decode(ids).split(END)[0] for ids in said]


def facts_right(said: list[str], true: list[str]) -> list[float]:
    """The share of captions that are right in the first fact, the second, and so on.

    A caption is a list of facts, "a seven, leaning right, thin"; all in `true` have the same
    number of facts. A missing fact is wrong. Raises ValueError for lists that differ in length.
    """
    pairs = [(a.split(", "), b.split(", ")) for a, b in zip(said, true, strict=True)]
    n_facts = len(pairs[0][1])
    right = [sum(a[i : i + 1] == b[i : i + 1] for a, b in pairs) for i in range(n_facts)]
    return [count / len(pairs) for count in right]


def looks(model: PrefixGPT, tokenizer: CharTokenizer, piece, words: str):
    """Where the model looks while it says each fact of a caption.

    piece: (P, S), of one picture or sound. Returns (n_facts, P): for each fact the attention from
    the places that choose its letters, as the mean over these places, layers and heads. The values
    are shares that sum to 1.
    """
    ids = torch.tensor([tokenizer.encode(END + words)[: model.gpt.config.block_size]])  # (1, T)
    weights = model.attention(piece[None], ids).mean(dim=(0, 1, 2))  # (T, P)
    rows, begin = [], 0
    for fact in words.split(", "):
        # The place before a letter chooses it, so the places of a fact begin one early. The END
        # in front shifts all places by one, so `begin` needs no change.
        row = weights[begin : begin + len(fact)].mean(dim=0)  # (P,)
        rows.append(row / row.sum())
        begin += len(fact) + len(", ")
    return torch.stack(rows)


@torch.no_grad()
def matters(model: PrefixGPT, tokenizer: CharTokenizer, piece, words: str, blank):
    """How much each piece matters for each fact: how far the fact's probability falls without it.

    piece: (P, S). blank: what covers a piece, (P, S). Returns (n_facts, P): the natural logarithm
    of the fact's probability with all pieces, minus that with one piece covered. 0 means that the
    piece does not matter, 0.7 that the probability halves without it.
    Source: occlusion, Zeiler & Fergus 2014, arXiv:1311.2901.
    """
    P, length = len(piece), model.gpt.config.block_size
    idx, targets = encode_captions(tokenizer, [words] * (P + 1), length)
    covered = piece.repeat(P + 1, 1, 1)  # (P + 1, P, S): the last one stays whole
    covered[torch.arange(P), torch.arange(P)] = blank
    logits, _ = model(covered, idx)  # (P + 1, T, V)
    chosen = targets.clamp(min=0)[..., None]  # (P + 1, T, 1)
    letters = logits.log_softmax(-1).gather(2, chosen)[..., 0]  # (P + 1, T)
    rows, begin = [], 0
    for fact in words.split(", "):
        chance = letters[:, begin : begin + len(fact)].sum(dim=1)  # (P + 1,), of the whole fact
        rows.append(chance[-1] - chance[:-1])
        begin += len(fact) + len(", ")
    return torch.stack(rows)
