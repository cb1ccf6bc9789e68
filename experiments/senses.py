"""What a small GPT sees and hears, beside its controls, seed by seed: `senses`, of notebook 09.

A seed sets the start of a model and the order of its batches. All of them learn from the same two
thirds and are tested on the same rest. Not equal: the linear probe is fitted until it moves no
more, and the MLP's rate is the best of three on the ninth that one chooses by.

Parts: `digits` and `sounds` (the GPT and its controls), `patches` (what covering one of them does),
`shifts` (nine times the pictures, and digits drawn for this course).
"""

from pathlib import Path
from statistics import mean, mode

import torch
import torch.nn as nn
import torch.nn.functional as F

from nanogpt_lib.beyond import digits, voices
from nanogpt_lib.beyond.finetune import tune
from nanogpt_lib.beyond.modalities import (
    PrefixGPT,
    caption,
    encode_captions,
    facts_right,
    fit,
    looks,
    matters,
    patches,
    spectrogram,
    three_parts,
)
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig

FOLDER = "senses"
STEPS = {"digits": 1000, "sounds": 1200, "shifts": 3000}
RATES = (3e-4, 1e-3, 3e-3)  # of which the MLP gets the best

# Drawn for this course with `#`, as in the notebook: 21 digits by a hand that is not in the scans.
DRAWN = """
0 ..###... .#...#.. .#...#.. .#...#.. .#...#.. .#...#.. ..###...
0 ..####.. .#....#. .#....#. .#....#. .#....#. .#....#. .#....#. ..####..
1 ...#.... ..##.... ...#.... ...#.... ...#.... ...#.... ..###...
1 ....#... ....#... ....#... ....#... ....#... ....#... ....#... ....#...
2 ..###... .#...#.. .....#.. ....#... ...#.... ..#..... .#####..
2 ..####.. ......#. ......#. ....##.. ...#.... ..#..... ..#..... ..#####.
3 ..###... .....#.. .....#.. ...##... .....#.. .....#.. ..###...
3 .####... .....#.. ....#... ...##... .....#.. .#...#.. ..###...
4 .....#.. ....##.. ...#.#.. ..#..#.. .######. .....#.. .....#..
4 ..#..... ..#..... ..#..#.. ..#..#.. ..#####. .....#.. .....#.. .....#..
5 ..#####. ..#..... ..#..... ..####.. ......#. ......#. ..####..
5 ..####.. ..#..... ..#..... ..###... .....#.. .....#.. ..#..#.. ..###...
6 ...##... ..#..... ..#..... ..###... ..#..#.. ..#..#.. ...##...
6 ....#... ...#.... ..#..... ..#..... ..####.. ..#...#. ..#...#. ...###..
7 ..#####. ......#. .....#.. ....#... ....#... ...#.... ...#....
7 ..####.. .....##. .....#.. ...####. ....#... ...#.... ..##.... ..#.....
7 .######. ......#. .....#.. .....#.. ....#... ....#... ...#.... ...#....
8 ..###... .#...#.. .#...#.. ..###... .#...#.. .#...#.. ..###...
8 ...##... ..#..#.. ..#..#.. ...##... ..#..#.. ..#..#.. ..#..#.. ...##...
9 ..###... .#...#.. .#...#.. ..####.. .....#.. .....#.. ..###...
9 ...###.. ..#...#. ..#...#. ...####. ......#. .....#.. ....#... ...#....
"""


def drawn():
    """The drawings, float32 (21, 8, 8), and the digits that are meant, int64 (21,)."""
    lines = [line.split() for line in DRAWN.split("\n") if line]
    images = torch.stack([digits.from_text("\n".join(rows)) for _, *rows in lines])
    return images, torch.tensor([int(digit) for digit, *_ in lines])


def shifted(images):
    """Pictures (N, H, W) as they are and moved by a pixel to all eight sides: (9 N, H, W)."""
    H, W = images.shape[1:]
    wide = F.pad(images, (1, 1, 1, 1))
    moved = [wide[:, y : y + H, x : x + W] for y in range(3) for x in range(3)]
    return torch.cat(moved)


class Task:
    """Pieces, captions, and three parts of them, as ids too."""

    def __init__(self, pieces, captions: list[str], parts):
        self.pieces, self.captions = pieces, captions
        self.train, self.choose, self.test = parts
        self.tokenizer = CharTokenizer.train("\n".join(captions))
        self.length = max(map(len, captions)) + 1
        self.idx, self.targets = encode_captions(self.tokenizer, captions, self.length)

    def true(self, part) -> list[str]:
        return [self.captions[i] for i in part]

    def new_model(self, seed: int) -> PrefixGPT:
        torch.manual_seed(seed)
        V = self.tokenizer.vocab_size
        gpt = GPT(GPTConfig(V, self.length, n_layer=2, n_head=4, n_embd=64))
        return PrefixGPT(gpt, *self.pieces.shape[1:])

    def learn(self, model: PrefixGPT, steps: int, seed: int, pieces=None) -> PrefixGPT:
        config = TrainConfig(steps, batch_size=32, learning_rate=3e-3, min_lr=1e-4, seed=seed)
        pieces, some = self.pieces if pieces is None else pieces, self.train
        fit(model, pieces[some], self.idx[some], self.targets[some], config)
        return model

    def right(self, model: PrefixGPT, seen=None) -> list[float]:
        """Shares of the test's facts that are right; `seen`: what the model gets, (N, P, S)."""
        seen = self.pieces[self.test] if seen is None else seen
        return facts_right(caption(model, self.tokenizer, seen), self.true(self.test))

    @torch.no_grad()
    def nats(self, model: PrefixGPT, seen=None) -> float:
        """The loss of a whole caption of the test, in nats: what it still has to guess."""
        seen = self.pieces[self.test] if seen is None else seen
        _, loss = model(seen, self.idx[self.test], self.targets[self.test])
        return loss.item() * (self.targets[self.test] >= 0).sum().item() / len(self.test)

    def answers(self):
        """Facts as numbers of answers: lists of the answers, and int64 (N, facts)."""
        facts = list(zip(*(c.split(", ") for c in self.captions), strict=True))
        lists = [sorted(set(fact)) for fact in facts]
        columns = [[a.index(f) for f in fact] for a, fact in zip(lists, facts, strict=True)]
        return lists, torch.tensor(columns).T


def seeing() -> Task:
    images, names = digits.load_images()
    return Task(patches(images), digits.describe(images, names), three_parts(len(images)))


def hearing(n: int) -> Task:
    sounds, sayings = voices.record(n, seed=1)
    return Task(spectrogram(sounds), sayings, three_parts(len(sounds)))


class Flat(nn.Module):
    """An MLP with one hidden layer on all pieces at once, and an answer for each fact."""

    def __init__(self, inside: int, answers: list[int], hidden: int = 256):
        super().__init__()
        self.answers = answers
        self.layers = nn.Sequential(
            nn.Linear(inside, hidden), nn.GELU(), nn.Linear(hidden, sum(answers))
        )

    def forward(self, x, wanted):
        """Numbers (B, inside) and answers (B, facts) -> scores (B, all answers), the loss."""
        scores = self.layers(x)
        parts = zip(scores.split(self.answers, dim=1), wanted.T, strict=True)
        return scores, sum(F.cross_entropy(part, w) for part, w in parts) / len(self.answers)


def mlp(task: Task, steps: int, seed: int) -> dict:
    """The MLP's shares on the test, at the rate of RATES that is best on the part to choose by."""
    x, (lists, wanted) = task.pieces.flatten(1), task.answers()
    best = None
    for rate in RATES:
        torch.manual_seed(seed)
        model = Flat(x.size(1), [len(a) for a in lists])
        generator = torch.Generator().manual_seed(seed)

        def draw(generator=generator):
            some = task.train[torch.randint(len(task.train), (32,), generator=generator)]
            return x[some], wanted[some]

        tune(model, draw, TrainConfig(steps, learning_rate=rate, min_lr=rate / 10, seed=seed))

        def shares(part, model=model):
            with torch.no_grad():
                scores = model(x[part], wanted[part])[0].split(model.answers, dim=1)
            answers = torch.stack([s.argmax(1) for s in scores], dim=1)
            return (answers == wanted[part]).float().mean(0).tolist()

        chosen = mean(shares(task.choose))
        if best is None or chosen > best[0]:
            size = sum(p.numel() for p in model.parameters())
            best = chosen, {"right": shares(task.test), "rate": rate, "parameters": size}
    return best[1]


def probe(task: Task, x) -> list[float]:
    """What a linear classifier on x (N, numbers) gets right in the test, for each fact."""
    from sklearn.linear_model import LogisticRegression

    x, shares = x.numpy(), []
    for column in task.answers()[1].T.numpy():
        fitted = LogisticRegression(max_iter=5000).fit(x[task.train], column[task.train])
        shares.append(float(fitted.score(x[task.test], column[task.test])))
    return shares


def usual(task: Task) -> list[float]:
    """The share that is right if one always says what is most frequent in the training part."""
    columns = task.answers()[1].T
    return [mean(float(mode(c[task.train].tolist()) == i) for i in c[task.test]) for c in columns]


def controls(name: str, task: Task, steps: int, seeds: list[int], keep) -> None:
    """The GPT and what it is held against; `keep(row)` for each."""

    def row(who, seed, right, **more):
        keep({"part": name, "who": who, "seed": seed, "right": right, **more})

    row("linear probe", 0, probe(task, task.pieces.flatten(1)))
    row("always the most frequent", 0, usual(task))
    blank = torch.zeros_like(task.pieces)
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        other = task.pieces[task.test[torch.randperm(len(task.test), generator=generator)]]
        model = task.learn(task.new_model(seed), steps, seed)
        all_of = sum(p.numel() for p in model.parameters())
        row("the GPT", seed, task.right(model), nats=task.nats(model), learning=all_of)
        row("the GPT, swapped", seed, task.right(model, other), nats=task.nats(model, other))
        blind = task.learn(task.new_model(seed), steps, seed, blank)
        nothing = blank[task.test]
        row("trained blind", seed, task.right(blind, nothing), nats=task.nats(blind, nothing))
        fresh = task.new_model(seed + 100)
        blind.encoder, blind.place = fresh.encoder, fresh.place  # these never saw anything
        for who, model in {
            "GPT frozen, knows the captions": blind,
            "GPT frozen at its start": task.new_model(seed),
        }.items():
            model.gpt.requires_grad_(False)
            task.learn(model, steps, seed)
            learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
            row(who, seed, task.right(model), nats=task.nats(model), learning=learning)
        row("MLP", seed, **mlp(task, steps, seed))


def covering(task: Task, steps: int, seeds: list[int], keep) -> None:
    """In how many test pictures another digit is named, and the nats lost, by what is covered."""
    average = task.pieces[task.train].mean(0)  # (P, S)
    far = (task.pieces[task.test] - average).norm(dim=-1)  # (N, P)
    N, P = far.shape
    for seed in seeds:
        model = task.learn(task.new_model(seed), steps, seed)
        tokenizer, items = task.tokenizer, [(task.pieces[i], task.captions[i]) for i in task.test]
        digit = torch.stack([looks(model, tokenizer, *item)[0] for item in items])  # (N, P)
        lost = torch.stack([matters(model, tokenizer, *item, average) for item in items])
        before = [c.split(", ")[0] for c in caption(model, tokenizer, task.pieces[task.test])]
        covers = {
            "most attended": digit.argmax(1),
            "least attended": digit.argmin(1),
            "differs most from the average": far.argmax(1),
            "matters most": lost[:, 0].argmax(1),
        }
        generator = torch.Generator().manual_seed(seed)
        for i in range(8):
            covers[f"random {i + 1}"] = torch.randint(P, (N,), generator=generator)
        for name, patch in covers.items():
            covered = task.pieces[task.test].clone()
            covered[torch.arange(N), patch] = average[patch]
            after = [c.split(", ")[0] for c in caption(model, tokenizer, covered)]
            row = {"part": "patches", "who": name, "seed": seed, "of": N}
            row["another digit"] = sum(a != b for a, b in zip(before, after, strict=True))
            nats = lost[torch.arange(N), :, patch].mean(0)  # (facts,)
            keep(row | {"nats": [round(v, 4) for v in nats.tolist()]})


def shifts(steps: int, seeds: list[int], keep) -> None:
    """Training with and without shifted pictures: the test's facts, and the digits of DRAWN."""
    images, names = digits.load_images()
    train, choose, test = three_parts(len(images))
    sketches, meant = drawn()
    more = shifted(images[train])
    texts = digits.describe(more, names[train].repeat(9))
    everything = torch.cat((images, more))
    captions = digits.describe(images, names) + texts
    many = torch.arange(len(images), len(everything))  # the first ones too: one shift is none
    for who, part, n in (
        ("as they are", train, steps // 3),
        ("as they are", train, steps),
        ("nine shifts", many, steps // 3),
        ("nine shifts", many, steps),
    ):
        task = Task(patches(everything), captions, (part, choose, test))
        for seed in seeds:
            model = task.learn(task.new_model(seed), n, seed)
            said = [c.split(", ")[0] for c in caption(model, task.tokenizer, patches(sketches))]
            wanted = [c.split(", ")[0] for c in digits.describe(sketches, meant)]
            hits = sum(a == b for a, b in zip(said, wanted, strict=True))
            row = {"part": "shifts", "who": who, "steps": n, "seed": seed}
            row |= {"right": task.right(model), "nats": task.nats(model)}
            keep(row | {"drawn right": hits, "drawn": len(sketches)})
    of_pixels = Task(everything[:, None], captions, (many, choose, test))
    for who, part in (("probe, as they are", train), ("probe, nine shifts", many)):
        of_pixels.train = part
        right = probe(of_pixels, everything.flatten(1))
        keep({"part": "shifts", "who": who, "steps": 0, "seed": 0, "right": right})


PARTS = ("digits", "sounds", "patches", "shifts")


def options(parser) -> None:
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="(all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(1 2 3)")
    parser.add_argument("--steps", type=int, help="of every training (1000, 1200 and 3000)")
    parser.add_argument("--sounds", type=int, default=1800, help="how many are sung (1800)")


def run(args) -> None:
    for part in args.parts:
        about = {"command": f"python -m experiments senses --parts {part}", "threads": 1}
        path, rows = args.out / f"{part}.json", []
        steps = args.steps or STEPS.get(part, STEPS["digits"])
        keep = keeper(path, about | {"steps": steps}, rows)
        if part == "digits":
            controls(part, seeing(), steps, args.seeds, keep)
        elif part == "sounds":
            controls(part, hearing(args.sounds), steps, args.seeds, keep)
        elif part == "patches":
            covering(seeing(), steps, args.seeds, keep)
        else:
            shifts(steps, args.seeds, keep)


def keeper(path: Path, about: dict, rows: list[dict]):
    """A function that adds a row, prints it, and writes the record so far."""

    def keep(row: dict) -> None:
        if "right" in row:
            row["right"] = [round(share, 4) for share in row["right"]]
        rows.append(row)
        print(row, flush=True)
        write_record(path, about, rows)

    return keep
