"""All benchmarks, or some: `python -m benchmarks [WORK ...] [--nanogpt DIR]`."""

import argparse
import importlib
import sys
from pathlib import Path

WORKS = (
    "whole_run",
    "limit",
    "step",
    "tried",
    "sampling",
    "evaluation",
    "startup",
    "waiting",
    "memory",
    "growth",
    "damage",
    "page",
    "serve",
    "board",
    "gpu",
    "scaling",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"some of: {', '.join(WORKS)}")
    parser.add_argument("--nanogpt", type=Path, metavar="DIR", help="a clone of nanoGPT")
    parser.add_argument("--rounds", type=int, default=3, help="turns each program takes (3)")
    parser.add_argument("--preset", help="another preset than the benchmark's own")
    parser.add_argument("--steps", type=int, help="fewer steps or characters, to try things out")
    parser.add_argument("--device", default="cuda", help="of the gpu benchmark (cuda)")
    parser.add_argument("--compile", action="store_true", help="torch.compile, in gpu")
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench"), help="folder of the JSON (build/bench)"
    )
    args = parser.parse_args()
    unknown = set(args.works) - set(WORKS)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    if args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if args.nanogpt:
        from benchmarks.peers import NanoGPT

        args.nanogpt = NanoGPT(args.nanogpt)
    for name in args.works or WORKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        table = importlib.import_module(f"benchmarks.{name}").run(args)
        if table:
            print(table, flush=True)
            print(f"Figures: {table.save(args.out)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
