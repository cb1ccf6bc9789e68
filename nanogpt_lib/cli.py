"""The command line: `nanogpt COMMAND`, or `python -m nanogpt_lib COMMAND`."""

import argparse
import io
import os
import re
import sys
import time
import warnings
from pathlib import Path

from nanogpt_lib import __version__
from nanogpt_lib.machine.paths import command_line, program, runs_dir, way_to_the_course
from nanogpt_lib.machine.processes import rank
from nanogpt_lib.machine.terminal import harmless

BEGAN = time.perf_counter()  # `--minutes` counts from here; this clock never jumps

SHIPPED = '"talk", "pocket-long" or "pocket"'  # the models that come with the kit

# PyTorch is imported inside the commands, so `--help` and typing errors get an answer at once.

EPILOG = """\
first steps:
  nanogpt doctor                    is this machine ready?
  nanogpt lab                       the course, in JupyterLab
  nanogpt train                     train a small GPT on Shakespeare, a minute or two
  nanogpt sample --prompt "ROMEO:"  let it write
  nanogpt train --minutes 8         the best model this machine can train in 8 minutes
  nanogpt train --text my.txt       your own text
  nanogpt replay                    watch a recorded run in a minute
  nanogpt compare                   all your runs on one plot
  nanogpt compare --serve           everybody's curves on the projector, live
  nanogpt progress                  which exercises are done, and what comes next
  nanogpt export --to my-gpt.html   your model as one page, for any browser
  nanogpt chat                      talk to the model that you tuned in notebook 08
  nanogpt export --to my-model      for the transformers library
  nanogpt serve                     your model behind HTTP, for programs and a browser
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="nanogpt",
        description="Train a GPT from scratch on this machine, and let it write.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nanogpt {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    def command(run, help):
        name = run.__name__.removeprefix("run_")
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=name, run=run)
        return sub

    doctor = command(run_doctor, "check Python, packages, memory, device and text")
    add_text(doctor)
    add_device(doctor)

    lab = command(run_lab, "open the course in JupyterLab, in copies of your own")
    lab.add_argument(
        "--fresh",
        metavar="NOTEBOOK",
        help="only make one copy anew, such as 03_model; the old copy is kept beside it",
    )
    lab.add_argument(
        "options", nargs="*", help="for JupyterLab, after two dashes: nanogpt lab -- --no-browser"
    )

    data = command(run_data, "fetch Tiny Shakespeare, look at a text, or make tokens of large ones")
    add_text(data)
    data.epilog = (
        "With --to, texts of any size become a folder of tokens in little memory. Train on it with "
        "nanogpt train --text DIR. If you stop it, the same command goes on."
    )
    data.add_argument(
        "texts", nargs="*", metavar="TEXT", help="files, folders of files, or - for standard input"
    )
    data.add_argument("--to", type=Path, metavar="DIR", help="the folder for the tokens, a new one")
    add_tokenizer(data)

    train = command(run_train, "train a preset from scratch, in a new run folder")
    add_text(train)
    add_device(train)
    train.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    train.add_argument("--preset", help="smoke, pocket (the default), laptop, workshop or gpt2")
    recipe = "plain (the course's GPT, the default) or modern (notebook 10's), if no preset says it"
    train.add_argument("--recipe", choices=("plain", "modern"), default="plain", help=recipe)
    train.add_argument(
        "--minutes", type=float, help="train for this time (default preset: the best for it)"
    )
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: a new one in runs/)"
    )
    train.add_argument("--steps", type=int, help="optimiser steps")
    train.add_argument("--batch-size", type=int, help="sequences a step")
    train.add_argument("--grad-accum", type=int, help="parts of a batch; more parts, less memory")
    train.add_argument("--lr", type=float, help="highest learning rate; the last is a tenth of it")
    train.add_argument("--dropout", type=float, help="share of activations dropped in training")
    train.add_argument("--eval-interval", type=int, help="steps between later evaluations")
    train.add_argument("--seed", type=int, help="seed for weights and batches")
    train.add_argument("--compile", action="store_true", help="use torch.compile if it works here")
    add_tokenizer(train)
    add_copy(train)
    train.add_argument("--board", metavar="ADDRESS", help="report to the class board there")
    train.add_argument("--name", help="your name on the board; any will do")
    train.add_argument("--code", default="", help="the board's join code")

    resume = command(run_resume, "continue an interrupted run exactly where it stopped")
    add_run(resume)
    add_text(resume, "the new place of the run's text, if it has moved")
    add_device(resume)
    resume.add_argument("--more-steps", type=int, default=0, help="number of steps to add")
    add_copy(resume)

    sample = command(run_sample, "let a trained model write")
    add_run(sample, f", or {SHIPPED}, trained models that come with the kit")
    sample.add_argument("--prompt", default="", help="text to continue (\\n is a new line)")
    sample.add_argument("-n", "--tokens", type=int, default=500, help="number of new tokens (500)")
    sample.add_argument("--temperature", type=float, default=0.7, help="0: greedy, 1: as learnt")
    sample.add_argument(
        "--top-k", type=k_or_all, default=40, help="draw only from the k likeliest (40), or all"
    )
    sample.add_argument("--top-p", type=float, help="draw from the likeliest up to probability p")
    sample.add_argument("--greedy", action="store_true", help="always take the likeliest")
    sample.add_argument("--seed", type=int, help="the same seed gives the same text")
    add_unknown(sample)
    sample.add_argument(
        "--no-cache", action="store_true", help="compute keys and values again for each token"
    )

    chat = command(run_chat, "talk to a model that was tuned on requests, as in notebook 08")
    chat.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="RUN",
        help="folder of a tuned model, or its name in runs/ (default: the newest there)",
    )
    chat.add_argument("--temperature", type=float, default=0.7, help="0: greedy, 1: as learnt")
    chat.add_argument("--seed", type=int, help="the same seed and requests give the same answers")
    add_unknown(chat)

    export = command(run_export, "write a model as a web page, for transformers, or as ONNX")
    add_run(export, f", or a checkpoint, or {SHIPPED}, which come with the kit")
    to = "a new folder for transformers, or a new file: the page if it ends in .html, else .onnx"
    export.add_argument("--to", type=Path, required=True, metavar="DIR|FILE", help=to)
    export.add_argument("--bits", type=int, choices=(8, 16), help="of a weight on a page (8)")
    export.add_argument(
        "--text", type=Path, metavar="FILE", help="the run's text, to measure what a page loses"
    )

    export.add_argument(
        "--push", metavar="USER/NAME", help="the folder to Hugging Face's Hub, too, as private"
    )

    serve = command(run_serve, "answer programs on this machine as OpenAI's API would")
    add_run(serve, f", or a checkpoint, or {SHIPPED}, which come with the kit")
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one (8000)")
    serve.add_argument("--queue", type=int, default=8, help="requests that may wait (8)")
    serve.add_argument("--timeout", type=float, default=60, help="seconds for a request (60)")

    command(run_progress, "which exercises are done, and what comes next")

    plot = command(run_plot, "draw a run's curve again from its record")
    add_run(plot)

    replay = command(run_replay, "play a recorded run as if it were training now")
    replay.add_argument(
        "record",
        nargs="?",
        default="talk",
        metavar="RUN",
        help="run folder, record file or name of a recorded run (default: talk)",
    )
    replay.add_argument("--list", action="store_true", help="list the recorded runs and stop")
    replay.add_argument("--seconds", type=float, help="length of the replay (default: a minute)")
    replay.add_argument("--speed", type=float, help="instead: times the speed of the real run")
    replay.add_argument("--linger", type=float, help="seconds to wait at a landmark (default 2)")

    compare = command(run_compare, "put many runs on one plot and in one table, the best first")
    compare.epilog = (
        "A class board: everybody copies run.jsonl from the run folder, gives the copy their own "
        "name (alice.jsonl) and hands it in. Then compare the folder that holds all copies. Or "
        "everybody pastes the line of --hand-in into the chat, and you compare a file of them."
    )
    compare.add_argument(
        "records",
        nargs="*",
        metavar="RUN",
        help="run folders, record files, names of recorded runs, or folders that hold these at any "
        "depth (default: runs)",
    )
    compare.add_argument(
        "--by",
        default="tokens",
        choices=("tokens", "steps", "seconds"),
        help="the horizontal axis of the curves (default: tokens)",
    )
    compare.add_argument(
        "--out",
        type=Path,
        default=Path("compare.png"),
        metavar="FILE",
        help="file for the picture (default: compare.png)",
    )
    compare.add_argument(
        "--serve", action="store_true", help="the board of a class while it trains, as a page"
    )
    compare.add_argument(
        "--host", help="with --serve: where it listens (127.0.0.1); 0.0.0.0 is the whole network"
    )
    compare.add_argument("--port", type=int, help="with --serve: 0 takes a free one (8765)")
    compare.add_argument(
        "--folder", type=Path, metavar="DIR", help="with --serve: what it keeps (board)"
    )
    compare.add_argument(
        "--address", metavar="URL", help="with --serve: how learners reach it, as of a tunnel"
    )
    compare.add_argument(
        "--hand-in", metavar="NAME", help="print your run as one line for the class, and stop"
    )
    return parser


def k_or_all(word: str) -> int | None:
    try:
        return None if word == "all" else int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"give a whole number or all, not {word!r}") from None


def add_tokenizer(parser):
    parser.add_argument(
        "--tokenizer",
        metavar="char|bpe|FILE",
        help="characters (the default), pieces of words, or a file of GPT-2's merges, vocab.bpe",
    )
    parser.add_argument("--vocab", type=int, help="number of pieces of words (1,024)")
    parser.add_argument("--max-symbols", type=int, help="largest number of distinct characters")


def add_text(parser, help="a UTF-8 text instead of Tiny Shakespeare, or a folder of tokens"):
    parser.add_argument("--text", metavar="FILE", help=help)


def add_unknown(parser):
    parser.add_argument(
        "--unknown",
        default="error",
        choices=("error", "drop", "replace"),
        help="what to do with characters that the model does not know (error: name them)",
    )


def add_device(parser):
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def add_copy(parser):
    parser.add_argument(
        "--copy-to",
        type=Path,
        metavar="DIR",
        help="keep a copy of the run there at each evaluation; `resume` can continue from it",
    )


def add_run(parser, more=""):
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="RUN",
        help="run folder (default: the newest in runs/)" + more,
    )


def newest_run() -> Path:
    """The run folder in `runs_dir()` that changed last."""
    folders = [path.parent for path in runs_dir().glob("*/run.jsonl")]
    if not folders:
        raise ValueError(f"there is no run in {runs_dir()} yet: `nanogpt train` makes one")
    return max(folders, key=lambda folder: (folder / "run.jsonl").stat().st_mtime)


def chosen(run: Path | None) -> Path:
    """The run that a command works on. Says which one a bare name has meant."""
    from nanogpt_lib.runs import catalogue

    if run is None:
        return newest_run()
    path, kit = catalogue.own(run), {*catalogue.shipped(), *catalogue.shipped_models()}
    if path != run:
        too = f" (the kit has a {run}, too: it is not meant)" if str(run) in kit else ""
        print(f"note: {path}, your own run{too}", file=sys.stderr)
    elif not path.exists() and str(run) in kit:
        print(f"note: {run}, which comes with the kit", file=sys.stderr)
    return path


def run_doctor(args) -> int:
    from nanogpt_lib.room.doctor import report

    return 0 if report(args.text, args.device) else 1


def run_lab(args) -> int:
    from nanogpt_lib.room.lab import fresh, lab

    if args.fresh:
        print(fresh(args.fresh))
    else:
        lab(args.options)
    return 0


def run_data(args) -> int:
    from nanogpt_lib.machine.paths import data_dir
    from nanogpt_lib.runs.texts import prepare
    from nanogpt_lib.shakespeare import FILE_NAME, fetch
    from nanogpt_lib.tokenizer import CharTokenizer

    texts = args.texts or [args.text] * (args.text is not None)
    if args.text and args.texts:
        raise ValueError("name the text once, with --text or without")
    if args.to:
        if not texts:
            fetch.tiny_shakespeare()
        return make_tokens(texts or [data_dir() / FILE_NAME], args)
    if len(texts) > 1 or texts == ["-"]:
        raise ValueError("several texts, or -, become tokens: name a new folder for them with --to")
    text = texts[0] if texts else None
    settings = {"kind": args.tokenizer, "vocab": args.vocab, "max_symbols": args.max_symbols}
    data = prepare(text, **settings)
    if text is None:
        print(f"Tiny Shakespeare is at {data_dir() / FILE_NAME}, and its sha256 is correct.")
    about, unit = data.about, "character"
    if not isinstance(data.tokenizer, CharTokenizer):
        unit = "token"
    print(f"{about['train_tokens']:,} {unit}s to train on, {about['val_tokens']:,} to validate;")
    if unit == "character":
        print(f"{data.tokenizer.vocab_size} distinct: {data.tokenizer.symbols!r}")
    else:
        each = data.characters_per_token
        print(f"{data.tokenizer.vocab_size:,} distinct, each {each:.2f} characters on average.")
    if data.copied is not None:
        print(f"{data.copied:.1%} of the validation text is in the training text, too.")
    print(f"What counting alone achieves (validation loss, nats a {unit}):")
    for rung in data.rungs:
        print(f"  {rung['loss']:6.3f}  {rung['name']}")
    return 0


def make_tokens(texts: list, args) -> int:
    """`nanogpt data TEXT... --to DIR`."""
    from nanogpt_lib.machine.host import cores
    from nanogpt_lib.runs.texts import check_kind, counted
    from nanogpt_lib.shards.writing import write

    kind, vocab, symbols = args.tokenizer or "char", args.vocab, args.max_symbols
    check_kind(kind, vocab, symbols)
    began = time.perf_counter()
    about = write(texts, args.to, counted, kind, vocab, symbols, processes=cores())
    seconds = time.perf_counter() - began
    n, tokens = about["characters"], about["train_tokens"] + about["val_tokens"]
    print(f"{n:,} characters became {tokens:,} tokens in {seconds:,.0f} s: {args.to}")
    print(f"{about['train_tokens']:,} to train on, {about['val_tokens']:,} to validate.")
    print(f"Next:\n  {command_line(program(), 'train', '--text', args.to)}")
    return 0


def run_train(args) -> int:
    print("Loading PyTorch, the text and the model ...", flush=True)
    from dataclasses import replace
    from functools import partial

    from nanogpt_lib.checks import above_zero
    from nanogpt_lib.machine import processes
    from nanogpt_lib.machine.device import pick_compute
    from nanogpt_lib.runs.pace import RECIPES, fit_to_time
    from nanogpt_lib.runs.presets import MODERN, get_preset, with_steps
    from nanogpt_lib.runs.texts import prepare
    from nanogpt_lib.runs.whole import check_context_of, train_preset

    if args.preset and args.recipe == "modern" and args.preset not in MODERN:
        raise ValueError(f"--preset {args.preset} is plain: take one of {', '.join(MODERN)}")
    preset = get_preset(args.preset or RECIPES[args.recipe][0])
    compute_for = partial(pick_compute, args.device, args.dtype)
    data = None
    tokens = {"kind": args.tokenizer, "vocab": args.vocab, "max_symbols": args.max_symbols}
    if args.minutes is not None:
        processes.check_alone("--minutes")
        above_zero(args.minutes, "minutes")
        data = prepare(args.text, **tokens)
        check_context_of(preset, data)  # before anything is measured, which takes a while
        size = {"vocab_size": data.tokenizer.vocab_size, "val_tokens": len(data.val_ids)}
        spent = time.perf_counter() - BEGAN
        preset = fit_to_time(
            args.minutes, compute_for, spent=spent, **size, name=args.preset, recipe=args.recipe
        )
        print(
            f"For {args.minutes:g} minutes here: {preset.name}, {preset.train.max_steps:,} steps."
        )
    if args.steps is not None:
        preset = with_steps(preset, args.steps)
    changes = {
        "batch_size": args.batch_size,
        "grad_accum": args.grad_accum,
        "eval_interval": args.eval_interval,
        "seed": args.seed,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if args.lr is not None:
        changes |= {"learning_rate": args.lr, "min_lr": args.lr / 10}
    if args.compile:
        changes["compile"] = True
    model = preset.model if args.dropout is None else replace(preset.model, dropout=args.dropout)
    preset = replace(preset, model=model, train=replace(preset.train, **changes))
    compute = compute_for(model.n_embd)
    print(f"Preset {preset.name}: {preset.purpose}.\nComputing on {compute}.")
    callbacks: tuple = ()
    if args.board is not None and not rank():
        from nanogpt_lib.room.report import Reports, join

        data = data or prepare(args.text, **tokens)
        join(args.board, args.name or "somebody", args.code)
        callbacks = (Reports(preset.name, data.about, data.rungs, command=as_typed(args)),)
    result = train_preset(
        preset,
        args.text,
        args.out,
        compute,
        args.max_symbols,
        command=as_typed(args),
        copy_to=args.copy_to,
        data=data,
        tokenizer=args.tokenizer,
        vocab=args.vocab,
        callbacks=callbacks,
    )
    return tell(result)


def as_typed(args) -> str:
    """The command for the run's record, without the folders of this machine."""
    defaults = vars(build_parser().parse_args([args.command]))
    words: list = ["nanogpt", args.command]
    for name, value in vars(args).items():
        if value == defaults[name] or name in ("out", "copy_to", "board", "name", "code"):
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(Path(Path(value).name) if name == "text" else value)
    return command_line(*words)


def run_resume(args) -> int:
    from nanogpt_lib.runs.whole import resume

    folder = chosen(args.folder)
    more = {"more_steps": args.more_steps, "copy_to": args.copy_to}
    return tell(resume(folder, args.device, text=args.text, **more))


def tell(result) -> int:
    """Says how a run ended, lets the best checkpoint write, and says what to do next."""
    from nanogpt_lib.milestones import read_loss
    from nanogpt_lib.runs import record
    from nanogpt_lib.runs.checkpoint import load_model
    from nanogpt_lib.runs.wording import in_bits
    from nanogpt_lib.sampling import generate

    if rank():
        return 0
    folder, run = result.folder, result.run
    text = record.read(folder).about["text"]
    shakespeare = text["name"] == "Tiny Shakespeare"
    print(f"\n{run.stopped.capitalize()} after {run.step:,} steps. {result.verdict}")
    if result.whole_val_loss is not None:
        rungs = result.rungs
        per_token = text["val_characters"] / text["val_tokens"] if "val_characters" in text else 1
        bits = f" ({in_bits(result.whole_val_loss, per_token):.3f} bits a character)"
        print(
            f"Best checkpoint over the whole validation split: {result.whole_val_loss:.4f}"
            f"{bits * (per_token > 1)}."
        )
        if result.verdict.status != "copied":  # else a low loss is no merit
            print(read_loss(result.whole_val_loss, "val", rungs))
        model, tokenizer, _ = load_model(folder)
        prompts = ["ROMEO:", ""] if shakespeare else [""]
        for text in generate(model, tokenizer, prompts, 250, seed=1, unknown="drop"):
            print("\n" + "-" * 72 + f"\n{harmless(text.strip())}")
        print("-" * 72)
    print(f"\nThe curve: {folder / 'loss.png'}")
    print("Next:")
    nanogpt = program()
    if run.stopped == "interrupted":
        print(f"  {command_line(nanogpt, 'resume', folder)}    goes on where it stopped")
    prompt = ' --prompt "JULIET:"' if shakespeare else ""  # other texts may lack these letters
    print(f"  {command_line(nanogpt, 'sample', folder)}{prompt} --temperature 0.9")
    print(f"  {way_to_the_course()}: what happened here, step by step")
    return 0


def run_sample(args) -> int:
    from nanogpt_lib.runs.checkpoint import load_model
    from nanogpt_lib.sampling import stream

    model, tokenizer, _ = load_model(chosen(args.folder))
    prompt = args.prompt.replace("\\n", "\n")
    pieces = stream(
        model,
        tokenizer,
        prompt,
        args.tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        greedy=args.greedy,
        seed=args.seed,
        unknown=args.unknown,
        use_cache=not args.no_cache,
    )
    print(harmless(prompt + next(pieces, "")), end="", flush=True)  # none if a setting is wrong
    for piece in pieces:
        print(harmless(piece), end="", flush=True)
    print()
    return 0


def run_chat(args) -> int:
    from nanogpt_lib.room.chatbox import talk
    from nanogpt_lib.runs.catalogue import newest_tuned
    from nanogpt_lib.runs.checkpoint import load_model

    run = newest_tuned() if args.folder is None else chosen(args.folder)
    model, tokenizer, _ = load_model(run)
    settings = {"temperature": args.temperature, "unknown": args.unknown}
    return talk(model, tokenizer, args.seed, **settings)


def run_export(args) -> int:
    from nanogpt_lib.runs.checkpoint import load_model
    from nanogpt_lib.runs.export import export
    from nanogpt_lib.runs.hub import check_name, push
    from nanogpt_lib.runs.template import is_chat

    run, kind = chosen(args.folder), args.to.suffix.lower()
    if args.push is not None and kind in (".html", ".htm", ".onnx"):
        raise ValueError("--push is for a folder: name one after --to")
    if kind in (".html", ".htm"):
        return export_page(run, args)
    if args.bits or args.text:
        raise ValueError("--bits and --text are for a page: end the name after --to with .html")
    if kind == ".onnx":
        return export_onnx(run, args)
    if args.push is not None:
        check_name(args.push)  # before anything is written
    folder = export(run, args.to)
    model, tokenizer, data = load_model(run)
    text = data["about"].get("run", {}).get("text", {}).get("name", "an unnamed text")
    print(
        f"{run}, trained on {harmless(text)}: {model.num_params():,} parameters, "
        f"{tokenizer.vocab_size} symbols, a context of {model.config.block_size}"
    )
    print(f"Written: {folder}. In Python, with `transformers` installed:")
    if is_chat(tokenizer):
        request = '[{"role": "user", "content": "Ask as ROMEO."}]'
        print(f'  pipeline("text-generation", {folder.as_posix()!r})({request})')
        print("It answers single requests. Its chat template keeps typed marks from being marks.")
        return 0
    print(f"  GPT2LMHeadModel.from_pretrained({folder.as_posix()!r})")
    print(f"  AutoTokenizer.from_pretrained({folder.as_posix()!r})")
    prompt = "ROMEO:" if text == "Tiny Shakespeare" else ""  # others may lack these letters
    print(f'  pipeline("text-generation", {folder.as_posix()!r})("{prompt}")')
    print(f"There a text ends at {model.config.block_size} symbols, its prompt included.")
    print(f"What strangers should know is in {folder / 'README.md'}: complete it before you share.")
    if args.push:
        print(f"On the Hub, private if it is new: {push(folder, args.push)}")
    return 0


def export_onnx(run: Path, args) -> int:
    from nanogpt_lib.runs.onnx_file import write_onnx

    path = write_onnx(run, args.to)
    print(f"Written: {path}, {path.stat().st_size / 1e6:.1f} MB. With onnxruntime:")
    print(f"  session = onnxruntime.InferenceSession({path.as_posix()!r})")
    print('  (logits,) = session.run(None, {"ids": ids})  # int64 (B, T) -> float32 (B, T, V)')
    return 0


def run_serve(args) -> int:
    import asyncio

    from nanogpt_lib.checks import above_zero, whole_number
    from nanogpt_lib.runs.template import is_chat

    try:
        from nanogpt_lib.room.web.serve import NO_CHAT, Server
    except ModuleNotFoundError as error:
        raise ValueError(f"the server needs one more package: pip install {error.name}") from None

    if whole_number(args.port, "port") > 65535:
        raise ValueError(f"port must be at most 65535, not {args.port}")
    whole_number(args.queue, "queue")
    above_zero(args.timeout, "timeout")
    server = Server(chosen(args.folder), args.port, args.queue, args.timeout)

    def ready():
        print(f"Serving {harmless(server.name)} at {server.address}: a page for people, and")
        print(f"  {server.address}/v1/completions for programs. Ctrl-C stops it.")
        chat = f"{server.address}/v1/chat/completions for requests."
        print(f"  {chat if is_chat(server.tokenizer) else NO_CHAT}", flush=True)

    asyncio.run(server.run(ready))
    return 0


def export_page(run: Path, args) -> int:
    from nanogpt_lib.room.web.page import MUCH, check_new, cost, write_page

    check_new(args.to)  # before anything is measured, which takes a while
    bits = args.bits or 8
    measured = cost(run, bits, args.text)
    path = write_page(run, args.to, bits)
    print(f"Written: {path}, {path.stat().st_size / 1e6:.1f} MB. Open it in a browser.")
    if measured is None:
        print(f"What {bits} bits cost is unmeasured: this run has a text of its own. --text FILE")
        return 0
    before, after = measured
    change = f"from {before:.4f} to {after:.4f}"
    much = "" if after - before < MUCH else f", {after - before:.2f} more: --bits 16 loses less"
    print(f"In {bits} bits the loss on the whole validation text goes {change}{much}.")
    return 0


def run_plot(args) -> int:
    from nanogpt_lib.plots import summary
    from nanogpt_lib.runs import record
    from nanogpt_lib.runs.whole import draw

    folder = chosen(args.folder)
    kept = record.read(folder)
    print(summary(kept.history, kept.copied))
    print(f"The curve: {draw(folder)}")
    return 0


def run_replay(args) -> int:
    if args.list:
        return list_recorded()
    from nanogpt_lib.room.replay import replay

    replay(chosen(Path(args.record)), args.speed, args.seconds, args.linger)
    return 0


def list_recorded() -> int:
    """Prints the recorded runs that come with the library, one a line."""
    from nanogpt_lib.runs import catalogue, untrusted
    from nanogpt_lib.runs.wording import duration

    for name, path in catalogue.shipped().items():
        run = untrusted.read(path)
        best = f"validation loss {run.best.val_loss:.3f}" if run.best else "diverged"
        print(f"{name:30} {run.steps:>6,} steps in {duration(run.seconds):>12}, {best}")
    return 0


def run_compare(args) -> int:
    from nanogpt_lib.room.board import compare

    if args.hand_in is not None:
        from nanogpt_lib.runs.handin import hand_in

        if len(args.records) > 1:
            raise ValueError("one run is handed in at a time")
        print(hand_in(chosen(Path(args.records[0]) if args.records else None), args.hand_in))
        return 0
    if args.serve:
        return serve_board(args)
    if args.host or args.port is not None or args.folder or args.address:
        raise ValueError("--host, --port, --folder and --address go with --serve")
    if args.out.suffix.lower() != ".png":
        raise ValueError(f"--out is a picture: end its name with .png, not {args.out.name!r}")
    if not args.records and not runs_dir().is_dir():
        raise ValueError(f"there are no runs in {runs_dir()} yet: `nanogpt train` makes one")
    compared = compare(*args.records, by=args.by)
    print(compared)
    compared.save(args.out)
    print(f"The curves: {args.out}")
    return 0


def serve_board(args) -> int:
    """`nanogpt compare --serve`."""
    import asyncio

    from nanogpt_lib.checks import whole_number
    from nanogpt_lib.course.exercises import HOMES

    try:
        from nanogpt_lib.room.web.live_board import Board
    except ModuleNotFoundError as error:
        raise ValueError(f"the board needs one more package: pip install {error.name}") from None

    if args.records:
        raise ValueError("--serve takes no records: put them into its folder, see --folder")
    port = 8765 if args.port is None else whole_number(args.port, "port")
    if port > 65535:
        raise ValueError(f"port must be at most 65535, not {port}")
    folder, host = args.folder or Path("board"), args.host or "127.0.0.1"
    board = Board(folder, port, host, HOMES, args.address or "")

    def ready():
        code, (first, *others) = board.ledger.code, board.addresses()
        here = f"http://localhost:{board.address.rpartition(':')[2]}"
        here = board.address if host not in ("0.0.0.0", "127.0.0.1") else here
        print(f"The class board keeps {folder}. Ctrl-C stops it; started again, it goes on.\n")
        print(f"For the projector:   {here}/#{code}")
        print(f"For you alone:       {here}/instructor/{board.ledger.key}")
        print(f"To join:             {first}/join   code {code}")
        for other in others:
            print(f"  or, by another network: {other}/join")
        print(f'In a notebook:       join("{first}", "Ada", "{code}")')
        print(f"In a terminal:       nanogpt train --board {first} --code {code} --name Ada\n")
        if args.host is None and not args.address:
            print("It listens on this machine only. For the room: --host 0.0.0.0")
        for said in board.ledger.notes:
            print(f"note: {harmless(said)}")
        if picture := board.qr():
            picture.terminal(compact=True)
        else:
            print("For a QR code: pip install segno")
        sys.stdout.flush()

    asyncio.run(board.run(ready))
    return 0


def run_progress(args) -> int:
    from nanogpt_lib.course.exercises import HOMES
    from nanogpt_lib.course.progress import report

    print(report(HOMES))
    return 0


def note(message, category, filename, lineno, file=None, line=None):
    """Prints a warning on one line, without the line of code that caused it."""
    print(f"note: {harmless(str(message))}", file=sys.stderr)


def in_words(error: Exception) -> str:
    """What an error says; a sentence if memory ran out, of which every library has other words."""
    if isinstance(error, (RuntimeError, MemoryError)):
        from nanogpt_lib.machine.gradients import MODEL_TOO_LARGE, OutOfMemory, is_out_of_memory

        if is_out_of_memory(error) and not isinstance(error, OutOfMemory):
            return MODEL_TOO_LARGE
    return str(error)


def in_options(message: str, args) -> str:
    """A message about settings, with the names that they have on the command line.

    Files may be called like a setting: a name beside a dot or a slash stays as it is.
    """
    names = {name: "--" + name.replace("_", "-") for name in vars(args) if "_" in name}
    names |= {"max_new_tokens": "-n", "learning_rate": "--lr", "max_steps": "--steps"}
    for name, option in names.items():
        message = re.sub(rf"(?<![\w./\\-]){name}(?![\w./\\=-])", option, message)
    first, must, rest = message.partition(" must ")
    return f"--{first}{must}{rest}" if must and first in vars(args) else message


class Parser(argparse.ArgumentParser):
    """Takes `--prompt=--` as it is: Python before 3.13 removes the value and fails without it."""

    def _get_values(self, action, arg_strings):
        if action.option_strings and arg_strings == ["--"]:
            return self._get_value(action, "--")
        return super()._get_values(action, arg_strings)


def main(argv=None) -> int:
    for name in ("stdout", "stderr"):
        follows = rank() and name == "stdout"  # of several processes the first one speaks
        if (
            follows or getattr(sys, name) is None
        ):  # closed, as by `>&-`: a file would take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # Windows' default fails on most of the world's letters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    warnings.showwarning = lambda message, *where: note(in_options(str(message), args), *where)
    try:
        code = args.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from nanogpt_lib.machine.builds import torch_is_missing

        print(f"nanogpt: {torch_is_missing()}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has ended, as in `... | head`
        sys.stdout = None  # or Python would fail again at exit, writing the rest
        return 1
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"nanogpt: {harmless(in_options(in_words(error), args))}", file=sys.stderr)
        return 2
