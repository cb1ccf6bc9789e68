"""D. Writing 1,000 characters with a `workshop` model on the CPU."""

import torch

from benchmarks.bench import Table, compared, take_turns, timed
from nanogpt_lib.corpus import load_corpus
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.sampling import generate
from nanogpt_lib.tokenizer import CharTokenizer


def run(args) -> Table:
    size = PRESETS[args.preset or "workshop"].model
    n = args.steps or 1000
    torch.manual_seed(0)
    model = GPT(size).eval()
    tokenizer = CharTokenizer.train(load_corpus())
    settings = {"temperature": 0.7, "top_k": 40, "seed": 1}

    def ours(**more):
        return timed(lambda: generate(model, tokenizer, "\n", n, **settings, **more))

    works = {"ours, KV cache": ours(), "ours, without": ours(use_cache=False)}
    if args.nanogpt:
        peer = args.nanogpt.model(size).eval()
        start = torch.tensor([tokenizer.encode("\n")])
        works["nanoGPT"] = timed(lambda: peer.generate(start, n, temperature=0.7, top_k=40))
    results = take_turns(works, args.rounds)
    yardstick = "nanoGPT" if args.nanogpt else "ours, without"
    rows = compared(results, yardstick)
    for row in rows:
        row[3] = 1 / row[3]  # how many times as fast
        row.pop(4)
    return Table(
        "sampling",
        f"D. {n:,} characters from an untrained `{args.preset or 'workshop'}` model",
        "with the KV cache at least 3 times as fast as nanoGPT's sampler",
        ["program", "seconds", "spread", "times as fast"],
        rows,
        [
            f"The context is {size.block_size}. Beyond it nanoGPT slides by one token and computes "
            "the whole context for each;",
            "we forget the oldest quarter at once, refill the cache, and have a quarter's worth "
            "of cheap tokens again.",
        ],
        {"seconds": results},
    )
