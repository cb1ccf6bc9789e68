"""Exercises of notebook 11: intervals, whole numbers for weights, a stream, a queue."""

import json

import torch

from nanogpt_lib.course.exercises.base import exercise, question
from nanogpt_lib.course.exercises.comparing import close
from nanogpt_lib.runs import intervals, quantise

BITS = torch.tensor([2.1, 2.6, 2.0, 3.1, 2.4, 2.2])  # (6,): bits a character of six blocks
OTHERS = torch.tensor([2.0, 2.45, 2.1, 2.9, 2.2, 2.15])  # (6,): another model's, the same blocks
CHOSEN = torch.randint(6, (40, 6), generator=torch.Generator().manual_seed(4))
FEWER = CHOSEN[:15]
WEIGHT = torch.tensor([[0.3, -0.1, 0.02, 0.17], [-4.0, 1.3, 0.6, 2.2], [0.05, 0.02, -0.03, 0.01]])
EDGES = torch.tensor([0.025, 0.975])


@exercise(
    question="From values (n,) and R draws of places, chosen (R, n): the 95% interval of the mean.",
    minutes=8,
    level=2,
    inputs=[(BITS, CHOSEN), (OTHERS, FEWER)],
    used=True,
    hints=[
        "values[chosen] is (R, n): each row is one text that might have been.",
        "Each row has a mean, (R,). The interval holds 95% of these means: cut 2.5% off each end.",
        "means.quantile(torch.tensor([0.025, 0.975])) gives both ends, (2,).",
    ],
    library=intervals.interval,
    praise="no formula and no bell curve: the blocks themselves say how far a mean can stray.",
)
def bootstrap_interval(values, chosen):
    means = values[chosen].mean(dim=1)  # (R,): the mean of each draw
    return means.quantile(torch.tensor([0.025, 0.975]))  # (2,)


@bootstrap_interval.mistake(
    "that is where single blocks lie, not where means of all blocks lie: take the mean of each "
    "draw first. Means stray far less than blocks."
)
def interval_of_blocks(values, chosen):
    return values.quantile(EDGES)


@bootstrap_interval.mistake(
    "that is where single blocks lie, drawn or not: take the mean of each draw, dim=1, and then "
    "the quantiles of the means."
)
def interval_of_drawn_blocks(values, chosen):
    return values[chosen].flatten().quantile(EDGES)


@bootstrap_interval.mistake(
    "it takes the mean over the draws for each place, dim=0. A draw is a row: dim=1."
)
def interval_across_draws(values, chosen):
    return values[chosen].mean(dim=0).quantile(EDGES)


@bootstrap_interval.mistake(
    "that is the lowest and the highest mean: with more draws it would grow and grow. 95% of the "
    "means lie between the quantiles 0.025 and 0.975."
)
def interval_of_extremes(values, chosen):
    means = values[chosen].mean(dim=1)
    return torch.stack([means.min(), means.max()])


@bootstrap_interval.mistake(
    "it cuts 5% off each end, so 90% are left. For 95% it is 2.5% on each side: 0.025 and 0.975."
)
def interval_of_ninety(values, chosen):
    return values[chosen].mean(dim=1).quantile(torch.tensor([0.05, 0.95]))


@bootstrap_interval.mistake(
    "the high end comes first: the question asks for the low one and then the high one."
)
def interval_upside_down(values, chosen):
    return bootstrap_interval.answer(values, chosen).flip(0)


@bootstrap_interval.mistake(
    "that is the formula for a bell curve, mean plus and minus 1.96 standard errors. It is close, "
    "but the draws are not used: take the quantiles of their means."
)
def interval_by_formula(values, chosen):
    error = values.std() / len(values) ** 0.5
    return torch.stack([values.mean() - 1.96 * error, values.mean() + 1.96 * error])


@exercise(
    question="Two models on the same blocks, a and b (n,): the 95% interval of the mean of a - b.",
    minutes=6,
    level=2,
    inputs=[(BITS, OTHERS, CHOSEN), (OTHERS, BITS + 0.1, FEWER)],
    used=True,
    hints=[
        "The blocks are the same for both: what makes a block hard is in a and in b.",
        "So subtract first, block by block. What is left is one row of values, as in exercise 1.",
    ],
    library=intervals.interval,
    praise="the hard blocks are hard for both, and in the difference they no longer count.",
)
def gain_interval(a, b, chosen):
    means = (a - b)[chosen].mean(dim=1)  # (R,): the same blocks of both in each draw
    return means.quantile(torch.tensor([0.025, 0.975]))  # (2,)


@gain_interval.mistake(
    "a and b are drawn apart: each draw compares different blocks, and the interval is far too "
    "wide. Use the same places for both."
)
def gain_of_other_blocks(a, b, chosen):
    return (a[chosen].mean(dim=1) - b[chosen.flip(0)].mean(dim=1)).quantile(EDGES)


@gain_interval.mistake(
    "these are the ends of two intervals, subtracted from each other, low from low and high from "
    "high. The difference has an interval of its own: subtract the blocks first."
)
def gain_of_ends(a, b, chosen):
    return bootstrap_interval.answer(a, chosen) - bootstrap_interval.answer(b, chosen)


@gain_interval.mistake("it is b - a, so the sign is wrong: how much more does a cost than b?")
def gain_swapped(a, b, chosen):
    return gain_interval.answer(b, a, chosen)


@gain_interval.mistake(
    "it loses the sign of each difference: a block in which b does worse must count against b."
)
def gain_without_signs(a, b, chosen):
    return (a - b).abs()[chosen].mean(dim=1).quantile(EDGES)


@gain_interval.mistake(
    "that is where the differences of single blocks lie. How far does their mean stray? Take the "
    "mean of each draw."
)
def gain_of_blocks(a, b, chosen):
    return (a - b).quantile(EDGES)


@exercise(
    question="A matrix (R, C) as whole numbers from -127 to 127 (R, C) and a scale a row (R,).",
    minutes=8,
    level=2,
    inputs=[(WEIGHT,), (WEIGHT[:2] * 3,)],
    used=True,
    hints=[
        "The largest number of a row, by its absolute value, shall become 127 or -127.",
        "scale = weight.abs().amax(dim=1) / 127 is (R,); scale[:, None] is (R, 1), for dividing.",
        "whole = (weight / scale[:, None]).round(); return whole.to(torch.int8), scale",
    ],
    library=quantise.packed,
    praise="whole times its scale is the weight again, off by half a scale at most.",
)
def to_int8(weight):
    scale = weight.abs().amax(dim=1) / 127  # (R,)
    whole = (weight / scale[:, None]).round()  # (R, C)
    return whole.to(torch.int8), scale


@to_int8.mistake(
    "all rows have one scale, that of the largest number: the small rows are left with a few "
    "numbers each. A scale for each row: amax(dim=1).",
    same=lambda ours, theirs: close(ours[0], theirs[0]),  # whichever shape the one scale has
)
def int8_with_one_scale(weight):
    scale = weight.abs().max() / 127
    return (weight / scale).round().to(torch.int8), scale.expand(len(weight))


@to_int8.mistake(
    "there is a scale for each column, (C,): one for each row is asked for, amax(dim=1). A row is "
    "one output of the layer, so its scale can be applied after the product."
)
def int8_by_column(weight):
    scale = weight.abs().amax(dim=0) / 127
    return (weight / scale).round().to(torch.int8), scale


@to_int8.mistake(
    "it cuts the digits off instead of rounding: .to(torch.int8) goes towards zero, so weights are "
    "off by up to a whole scale, and all shrink. .round() first."
)
def int8_cut_off(weight):
    scale = weight.abs().amax(dim=1) / 127
    return (weight / scale[:, None]).to(torch.int8), scale


@to_int8.mistake(
    "the largest number of a row may be negative: without abs() such a row overflows. Take "
    "weight.abs().amax(dim=1)."
)
def int8_without_abs(weight):
    scale = weight.amax(dim=1) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


@to_int8.mistake(
    "it divides by 128, and 128 does not fit: int8 ends at 127, and the largest number of a row "
    "becomes -128. Divide by 127."
)
def int8_by_128(weight):
    scale = weight.abs().amax(dim=1) / 128
    return (weight / scale[:, None]).round().to(torch.int8), scale


@to_int8.mistake(
    "the scale is the wrong way round: whole * scale shall be the weight again, so the scale is "
    "the largest number divided by 127."
)
def int8_scale_upside_down(weight):
    whole, scale = to_int8.answer(weight)
    return whole, 1 / scale


@to_int8.mistake(
    "those are the rounded weights. The whole numbers are asked for, and the scales beside them."
)
def int8_multiplied_back(weight):
    whole, scale = to_int8.answer(weight)
    return whole * scale[:, None], scale


bits_a_weight = question(
    "bits_a_weight",
    question="4 bits, and a float16 scale for every 32 weights: how many bits a weight in all?",
    minutes=3,
    level=1,
    answer=4.5,
    working="4 + 16 / 32",
    hints=[
        "What do 32 weights take together? 32 times 4 bits, and one scale.",
        "A float16 has 16 bits, and 32 weights share them.",
    ],
    praise="this is the format Q4_0 of llama.cpp, and why its files are larger than 4 bits say.",
    mistakes={
        4: "the scales have to be stored, too: one float16 for every 32 weights.",
        5: "that would be a scale in float32; a float16 has 16 bits.",
        20: "each weight would have a scale of its own then. 32 weights share one.",
        0.5: "that is what the scale adds. The 4 bits of the weight itself come on top.",
        4.0625: "that is a float16 for 256 weights; here 32 share one.",
        144: "that is all 32 weights of a group together. How much is it for one?",
    },
)

STREAM = [
    'data: {"choices": [{"text": "To"}]}',
    "",
    'data: {"choices": [{"text": " be"}]}',
    "",
    ": still there",
    'data: {"choices": [{"text": ", or"}]}',
    "",
    "data: [DONE]",
    "",
]
SHORT = ['data: {"choices": [{"text": " data: "}]}', "", "data: [DONE]", ""]


@exercise(
    question="The text of a stream from its lines: from each event the text, until [DONE].",
    minutes=8,
    level=2,
    inputs=[(STREAM,), (SHORT,)],
    used=True,
    hints=[
        'Only lines that start with "data: " count. What follows is JSON, or [DONE].',
        'json.loads(line[len("data: "):])["choices"][0]["text"] is one piece.',
        "Stop at [DONE]; join the pieces with nothing between them.",
    ],
    praise="every chat that writes before your eyes is read like this.",
)
def read_stream(lines):
    import json

    text = ""
    for line in lines:
        if line == "data: [DONE]":
            break
        if line.startswith("data: "):
            text += json.loads(line[len("data: ") :])["choices"][0]["text"]
    return text


def pieces_of(lines: list[str]) -> list[str]:
    events = [line[6:] for line in lines if line.startswith("data: {")]
    return [json.loads(event)["choices"][0]["text"] for event in events]


@read_stream.mistake(
    "[DONE] is no JSON: it says that the stream has ended. Look for it before json.loads."
)
def stream_without_end(lines):
    return "".join(
        json.loads(line[6:])["choices"][0]["text"] for line in lines if line.startswith("data: ")
    )


@read_stream.mistake(
    "empty lines and comments are part of a stream: they separate events, and keep a line open. "
    'Look only at lines that start with "data: ".'
)
def stream_of_all_lines(lines):
    text = ""
    for line in lines:
        if line == "data: [DONE]":
            break
        text += json.loads(line[6:])["choices"][0]["text"]
    return text


@read_stream.mistake(
    "that is the last piece alone: add each piece to what came before, text += piece."
)
def stream_last_piece(lines):
    return pieces_of(lines)[-1]


@read_stream.mistake("that is the first piece alone: go on until [DONE].")
def stream_first_piece(lines):
    return pieces_of(lines)[0]


@read_stream.mistake(
    "the pieces have lost their spaces: they are part of the text, so take each as it is, without "
    "strip()."
)
def stream_stripped(lines):
    return "".join(piece.strip() for piece in pieces_of(lines))


@read_stream.mistake("there are spaces between the pieces that nobody wrote: join with nothing.")
def stream_joined_by_spaces(lines):
    return " ".join(pieces_of(lines)) + " "


@read_stream.mistake("the pieces are in a list: join them to one text.")
def stream_as_list(lines):
    return pieces_of(lines)


@read_stream.mistake(
    '"data: " is cut out wherever it stands, in the text, too. Cut it off the beginning only: '
    'line[len("data: "):].'
)
def stream_replacing(lines):
    return "".join(piece.replace("data: ", "") for piece in pieces_of(lines))


last_waits = question(
    "last_waits",
    question="A text takes 0.1 s. One is begun this moment and 8 wait: when is the last one done?",
    minutes=2,
    level=1,
    answer=0.9,
    working="(1 + 8) * 0.1",
    hints=["One after the other: how many texts are written until the last one is finished?"],
    praise="a queue adds nothing to the pace; it only says who waits, and how long at most.",
    mistakes={
        0.1: "that would be so if all were written at once; here one comes after the other.",
        0.8: "before the first of the eight begins, the one that is being written has to end.",
        1.0: "that would be ten texts: one is being written, and eight wait.",
        8: "in seconds: each takes a tenth of one.",
        9: "nine texts, right. Each takes a tenth of a second.",
    },
)
