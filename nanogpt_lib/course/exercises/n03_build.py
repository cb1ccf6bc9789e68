"""Exercises of notebook 03: the whole GPT, written by hand, checked stage by stage.

Nothing here imports the library's model: the weights and the right results are made by hand, too.
"""

import inspect
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from nanogpt_lib.course.exercises import by_hand, patience, stages
from nanogpt_lib.course.exercises.base import BY_HAND, Exercise, Mistake, Verdict, exercise
from nanogpt_lib.course.exercises.calling import line_of, outcome, takes
from nanogpt_lib.course.exercises.comparing import describe_value, kept_apart
from nanogpt_lib.course.exercises.slips import ATTENTION, MLP, attention_like, mlp_like

NOT_BY_HAND = (
    "it calls the library, {name}. The numbers are right, but they are the library's: here write "
    "the model yourself, from its weights."
)

STRANGE = (
    "it is not by hand: the library's {name} is in it. Here write the model yourself, from its "
    "weights."
)


@dataclass
class Shape:
    """The shape of the model that a check builds; the fields have GPTConfig's names."""

    vocab_size: int = 11
    block_size: int = 9
    n_layer: int = 2
    n_head: int = 3
    n_embd: int = 12
    dropout: float = 0.0
    bias: bool = True


SMALL = Shape()
OTHER = Shape(vocab_size=7, block_size=6, n_layer=3, n_head=2, n_embd=8, bias=False)
W, OTHER_W = stages.weights(SMALL), stages.weights(OTHER, seed=1)
ONE = torch.tensor([[3, 1, 4, 1, 5, 8, 2]])  # (1, T): one text, so that its stream is found easily
TWO = torch.tensor([[2, 0, 6, 5, 3], [1, 1, 4, 0, 2]])  # (2, T)


def stream(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


mlp = exercise(
    question="The MLP: from C channels to 4C, a bend, and back; x (B, T, C) -> (B, T, C).",
    minutes=4,
    level=1,
    inputs=[
        (stream(0, 2, 4, 12), W, "transformer.h.0.mlp"),
        (stream(1, 1, 3, 8), OTHER_W, "transformer.h.2.mlp"),
    ],
    used=True,
    hints=[
        "The first layer is linear(x, w, f'{at}.c_fc'), which gives (B, T, 4C).",
        "Then F.gelu, and the second layer under the name c_proj.",
    ],
    praise="each token by itself: nothing here looks at another one.",
)(by_hand.mlp)
mlp.mistakes += [Mistake(partial(mlp_like, **change), words) for words, change in MLP.items()]

HEADS = torch.tensor([[[[1.0], [2], [3]], [[10], [20], [30]]]])  # (1, 2, 3, 1)
merge_heads = exercise(
    question="The heads side by side again: (B, n_head, T, hs) -> (B, T, n_head * hs).",
    minutes=4,
    level=1,
    inputs=[(HEADS,), (stream(2, 2, 3, 5, 4),), (stream(3, 1, 4, 4, 2),)],
    used=True,
    hints=[
        "It is split_heads of notebook 02 backwards: first transpose, then join the last two axes.",
        "y.transpose(1, 2) is (B, T, n_head, hs); reshape, as view refuses what was transposed.",
    ],
    praise="each token has the findings of all heads now, side by side.",
)(by_hand.merge_heads)


@merge_heads.mistake(
    "the shape is right and the numbers are scrambled: reshape alone cuts through tokens and "
    "heads. Bring the tokens to the front first: y.transpose(1, 2)."
)
def merged_straight(y):
    B, n_head, T, hs = y.shape
    return y.reshape(B, T, n_head * hs)


@merge_heads.mistake(
    "the channels of the heads are interleaved. All channels of head 0 come first, then all of "
    "head 1: (B, T, n_head, hs) before the last two are joined."
)
def merged_interleaved(y):
    return y.permute(0, 2, 3, 1).flatten(2)


@merge_heads.mistake("it is (B, T, n_head, hs) still: the last two axes become one, .flatten(2).")
def merged_half(y):
    return y.transpose(1, 2)


@merge_heads.mistake(
    "view cannot join what a transpose has moved apart, and says so: reshape copies where it must.",
)
def merged_by_view(y):
    B, n_head, T, hs = y.shape
    return y.transpose(1, 2).view(B, T, n_head * hs)


self_attention = exercise(
    question="Attention with its weights: split, score, scale, mask, mix, merge, c_proj.",
    minutes=12,
    level=3,
    inputs=[
        (stream(4, 2, 5, 12), W, "transformer.h.1.attn", 3),
        (stream(5, 1, 4, 8), OTHER_W, "transformer.h.0.attn", 2),
    ],
    used=True,
    by_hand={
        "scaled_dot_product_attention": "PyTorch's fused attention does it in one call, as in the "
        "library. Here write its steps: scores, scale, mask, softmax, weights @ v.",
        "multi_head_attention_forward": "PyTorch's own layer does it. Here write its steps.",
    },
    hints=[
        "linear(x, w, f'{at}.c_attn') is (B, T, 3C): .split(C, dim=2) makes q, k and v of it.",
        "Each becomes (B, n_head, T, hs): t.view(B, T, n_head, C // n_head).transpose(1, 2).",
        "scores = q @ k.transpose(-2, -1) / math.sqrt(C // n_head), the mask, the softmax, @ v. "
        "You wrote this for one head in notebook 02; a batch of heads needs the same lines.",
        "At the end linear(merge_heads(y), w, f'{at}.c_proj').",
    ],
    praise="that is attention as GPT-2 has it, all heads at once.",
)(by_hand.self_attention)
self_attention.mistakes += [
    Mistake(partial(attention_like, **change), words) for words, change in ATTENTION.items()
]


def where(finding: stages.Finding, told: str) -> str:
    """A sentence on how far a model is right, and on what is wrong after that."""
    wrong = f"{finding.wrong}: " if finding.wrong and "`ln_f` is missing" not in told else ""
    return f"{finding.reached}{wrong}{told}"


def tried(ids, shape) -> str:
    """What a model was tried with."""
    sizes = f"n_layer = {shape.n_layer}, n_head = {shape.n_head}, n_embd = {shape.n_embd}"
    return f"tried with ids = {ids.tolist()}, {sizes}"


class Staged(Exercise):
    """An exercise whose answer is a whole model: it is told how far it is right."""

    def examine(self, answer) -> Verdict:
        verdict = super().examine(answer)
        if verdict.status == "Not yet" and verdict.message.startswith("right up to"):
            verdict.example = tried(ONE, SMALL)
        return verdict

    def named(self, message: str) -> str:
        slips = (words for words in {**ATTENTION, **MLP} if message.endswith(words))
        return super().named(message) or next(slips, "")

    def place(self, answer, n: int) -> stages.Finding:
        ids, w, n_layer, n_head = self.inputs[n]
        call = partial(outcome, answer, self.inputs[n], patience.patiently)
        return stages.find(call, ids, w, n_layer, n_head)

    def what_is_wrong(self, answer, results, expected, given, right) -> str:
        if given is None:
            return super().what_is_wrong(answer, results, expected, given, right)
        if not isinstance(given, BaseException):
            if told := kept_apart(given, right) or self.known_mistake(results):
                return told
            if results[0] is not given:
                words = "one text comes out right; another shape, of two texts, does not. Is a "
                return words + "number written where B, T, C, n_layer or n_head belong?"
        found = self.place(answer, 0)
        return told_of(self, found, answer, given)

    def done_by_pytorch(self, answer) -> str:
        with stages.Borrowed() as borrowed:
            outcome(answer, self.inputs[0])
        return NOT_BY_HAND.format(name=borrowed.name) if borrowed.name else ""


def told_of(exercise: Exercise, found: stages.Finding, answer, given) -> str:
    """The sentence about a model's result or error, with the place where it went wrong."""
    if isinstance(given, BaseException):
        raised = f"it raised {type(given).__name__}: {given}{line_of(given, answer)}"
        return f"{found.reached}then {raised}" if found.reached else raised
    if not found.wrong:
        return f"{found.reached}what it hands back is something else: the scores, (B, T, V)."
    if found.slip:
        return where(found, found.slip)
    words = "something is not right. Compare it with `solution()` of the part, or look at its"
    return where(found, f"{words} shapes. ex.{exercise.name}.hint() helps")


gpt = Staged(
    name="gpt",
    answer=by_hand.gpt,
    question="The whole: ids (B, T) to scores (B, T, V), from nothing but the weights.",
    minutes=10,
    level=3,
    inputs=[(ONE, W, 2, 3), (TWO, OTHER_W, 3, 2)],
    used=True,
    hints=[
        "Start with x = wte[ids] + wpe[:T]: w['transformer.wte.weight'][ids] and the first "
        "ids.size(1) rows of w['transformer.wpe.weight'].",
        "For each block: at = f'transformer.h.{i}', then your two lines from exercise 2, with "
        "norm(x, w, f'{at}.ln_1') and self_attention(..., w, f'{at}.attn', n_head).",
        "At the end norm(x, w, 'transformer.ln_f'), times the table of symbols turned: @ wte.T.",
    ],
    praise="that is a GPT, all of it, and every stage on the way is right.",
)


@gpt.mistake("those are chances already: hand back the scores, without the softmax at the end.")
def gpt_of_chances(ids, w, n_layer, n_head):
    return by_hand.gpt(ids, w, n_layer, n_head).softmax(dim=-1)


@gpt.mistake("those are logarithms of chances: hand back the scores, without log_softmax.")
def gpt_of_log_chances(ids, w, n_layer, n_head):
    return by_hand.gpt(ids, w, n_layer, n_head).log_softmax(dim=-1)


@gpt.mistake("those are the scores at the last place alone: each place has a row, (B, T, V).")
def gpt_of_the_last_place(ids, w, n_layer, n_head):
    return by_hand.gpt(ids, w, n_layer, n_head)[:, -1]


@gpt.mistake("those are the likeliest symbols: hand back a score for each of them, (B, T, V).")
def gpt_of_the_likeliest(ids, w, n_layer, n_head):
    return by_hand.gpt(ids, w, n_layer, n_head).argmax(dim=-1)


TIE = (
    "the head has a matrix of its own, and the table of symbols should be it. Without a head of "
    "its own: x @ wte.weight.T at the end. With one: self.lm_head.weight = ...wte.weight."
)
TURNED = (
    "it is turned on its side. nn.Linear(n_in, n_out) stores (n_out, n_in), as the shipped weights "
    "do: give it the number that goes in first."
)
BIASES = (
    "your module {there} `{name}`: the weights have biases where config.bias is True, and none "
    "where it is False, as in pocket. Pass bias=config.bias to nn.Linear and nn.LayerNorm."
)
PAIR = "forward gives a pair: hand back the scores alone, (B, T, V). The loss is notebook 04's."


class Build(Exercise):
    """An exercise whose answer is a class: a module that takes the shipped weights by name."""

    def renamed(self, w: dict, given) -> dict:
        """The shipped weights under the names of the learner's module.

        given: the learner's class. Its attribute `names`, if it has one, says what to replace in
        the names, as {"transformer.wte": "symbols"}.
        """
        names = getattr(given, "names", None) or {}
        return {swapped(name, names): weight for name, weight in w.items()}

    def hand_back(self, answer, theirs: bool):
        if self.used:
            whose = "your" if theirs else "the library's"
            print(f"The next cells use {whose} {self.name}.")
        return answer if theirs else self.answer

    def examine(self, answer) -> Verdict:
        if answer is None or answer is ...:
            return Verdict("Not attempted yet", self.invitation())
        if isinstance(answer, nn.Module):
            return Verdict("Not yet", f"pass the class itself: ex.{self.name}.check({self.name})")
        if not callable(answer):
            return Verdict("Not yet", f"pass the class itself: ex.{self.name}.check({self.name})")
        if not takes(answer, self.inputs[0]):
            names = ", ".join(inspect.signature(by_hand.MyGPT).parameters)
            return Verdict("Not yet", f"the function must take ({names})")
        for (shape,), ids, w in zip(self.inputs, (ONE, TWO), (W, OTHER_W), strict=True):
            verdict = self.built(answer, shape, ids, w)
            if verdict.status != "Right":
                return verdict
        return Verdict("Right", self.praise)

    def built(self, answer, shape, ids, w) -> Verdict:
        """Builds a module, loads the weights into it and runs it."""
        module = outcome(answer, (shape,), patience.patiently)
        if module is ... or isinstance(module, NotImplementedError):
            return Verdict("Not attempted yet", self.invitation())
        if told := no_module(module, answer):
            return Verdict("Not yet", told)
        module.eval()
        untouched = not any(True for _ in module.parameters())
        first = outcome(module, (ids,), patience.patiently)
        if untouched and (first is ... or isinstance(first, NotImplementedError)):
            return Verdict("Not attempted yet", self.invitation())
        own = belongs_to_the_library(module)
        told = "" if own else self.loaded(module, w, answer)
        if own:
            module.load_state_dict(w, strict=False)
        if told:
            return Verdict("Not yet", told)
        with stages.Borrowed() as borrowed:
            scores = outcome_of(module, ids)
        own = own or borrowed.name
        right = by_hand.gpt(ids, w, shape.n_layer, shape.n_head)
        whole = scores[0] if own and isinstance(scores, tuple) else scores
        if self.agree(whole, right):
            return Verdict(BY_HAND, NOT_BY_HAND.format(name=own)) if own else Verdict("Right", "")
        if own:
            return Verdict("Not yet", STRANGE.format(name=own))
        told = self.told_of_scores(module, ids, w, shape, scores)
        return Verdict("Not yet", told, tried(ids[:1], shape))

    def loaded(self, module, w: dict, answer) -> str:
        """Loads the weights; "" if they fit, else what does not."""
        weights = self.renamed(w, answer)
        have = dict(module.named_parameters(remove_duplicate=False))
        if told := misfit(have, weights):
            return told
        wanted = {name: value for name, value in weights.items() if name in have}
        module.load_state_dict({**module.state_dict(), **wanted})
        if sum(p.numel() for p in module.parameters()) > sum(p.numel() for p in unique(w)):
            return TIE
        return ""

    def told_of_scores(self, module, ids, w, shape, scores) -> str:
        if scores is None:
            return "forward gives None: is a `return` missing?"
        if scores is ...:
            return "the parameters are there, and forward gives `...` still: now let it compute."
        if isinstance(scores, tuple):
            return PAIR
        found = stages.find(partial(outcome_of, module, ids), ids[:1], w, *of(shape))
        return told_of(self, found, type(module).forward, scores)


def of(shape) -> tuple[int, int]:
    return shape.n_layer, shape.n_head


def outcome_of(module, ids):
    """What a module gives, or the error that it raises. (It is not copied: it holds weights.)"""
    try:
        with torch.no_grad():
            return patience.patiently(module, (ids,))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error


def unique(w: dict) -> list:
    return list({id(value): value for value in w.values()}.values())


def swapped(name: str, names: dict) -> str:
    for theirs, own in names.items():
        name = name.replace(theirs, own)
    return name


def no_module(module, answer) -> str:
    """What is wrong with what should be a module; "" if it is one."""
    if isinstance(module, patience.NoEnd):
        return str(module)
    if isinstance(module, BaseException):
        code = getattr(answer, "__init__", answer) if isinstance(answer, type) else answer
        return f"it raised {type(module).__name__}: {module}{line_of(module, code)}"
    if module is None:
        return "it gives None: is a `return` missing?"
    if isinstance(module, nn.Module):
        return ""
    told = kept_apart(module[0] if isinstance(module, list) and module else module, 0)
    return told or f"it gives {describe_value(module)}; a module, class MyGPT(nn.Module), is asked."


def belongs_to_the_library(module) -> str:
    """The name of a part, or of what it inherits from, that is the library's; "" without one."""
    for part in module.modules():
        for each in type(part).__mro__:
            if stages.is_the_library_s(each.__module__):
                return f"{each.__module__}.{each.__qualname__}"
    return ""


def misfit(have: dict, weights: dict) -> str:
    """Which names or shapes of a module's parameters are not those of the weights; "" if all are.

    The head need not be there: it is the table of symbols.
    """
    missing = [name for name in weights if name not in have and "lm_head" not in name]
    other = [name for name in have if name not in weights]
    if missing + other and all(name.endswith(".bias") for name in missing + other):
        return BIASES.format(name=(missing + other)[0], there="lacks" if missing else "has")
    if missing or other:
        told = f"the shipped weights have `{missing[0]}`" if missing else ""
        yours = f"your module has `{other[0]}`" if other else ""
        both = ", and ".join(filter(None, (told, yours)))
        return (
            f"{both}, which fits nothing on the other side. Take GPT-2's names, or give the class "
            'names = {"transformer.wte": "symbols", ...}: the shipped name, then yours.'
        )
    for name, value in have.items():
        given, wanted = tuple(value.shape), tuple(weights[name].shape)
        if given != wanted:
            turned = f": {TURNED}" if given == wanted[::-1] else "."
            return f"`{name}` is {given}; {wanted} is expected{turned}"
    return ""


MyGPT = Build(
    name="MyGPT",
    answer=by_hand.MyGPT,
    question="A module of your own, which takes the shipped weights and gives scores.",
    minutes=20,
    level=3,
    inputs=[(SMALL,), (OTHER,)],
    used=True,
    hints=[
        "A module is a box for weights that have names. The names come from the attributes: "
        "self.transformer = nn.ModuleDict({'wte': nn.Embedding(V, C), 'wpe': ...}).",
        "self.transformer['h'] is an nn.ModuleList of blocks. Each is an nn.ModuleDict of 'ln_1', "
        "'attn', 'ln_2' and 'mlp', with nn.LayerNorm(C, bias=config.bias) and nn.Linear inside.",
        "forward can use your gpt: dict(self.named_parameters()) is the w that it takes.",
        "No lm_head is needed: the head is the table of symbols.",
    ],
    praise="it is yours from the first line to the last, and it takes the shipped weights.",
)


@MyGPT.mistake(TIE)
class Untied(by_hand.MyGPT):
    def __init__(self, config):
        super().__init__(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)


@MyGPT.mistake(PAIR)
class WithLoss(by_hand.MyGPT):
    def forward(self, ids):
        return super().forward(ids), None


@MyGPT.mistake("the parameters are there, and forward gives `...` still: now let it compute.")
class HalfDone(by_hand.MyGPT):
    def forward(self, ids):
        return ...
