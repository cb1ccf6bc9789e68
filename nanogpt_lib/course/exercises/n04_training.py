"""Exercises of notebook 04: the loss, the step, the schedule and the clip."""

import math

import torch

from nanogpt_lib import model, training
from nanogpt_lib.course.exercises.base import exercise


def example(*shape, seed=0):
    """Numbers to try an answer on; always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@exercise(
    question="The loss of a batch out of its scores: mean of -ln(probability of what came).",
    minutes=10,
    level=2,
    inputs=[
        (3 * example(2, 3, 5), torch.tensor([[0, 4, 2], [1, 1, 3]])),
        (example(3, 3, 3, seed=1), torch.tensor([[0, 1, 2], [2, 2, 0], [1, 0, 0]])),
    ],
    used=True,
    hints=[
        "First turn scores into probabilities: p = logits.softmax(dim=-1), still (B, T, V).",
        "p.gather(-1, targets[..., None]) picks, at each place, the probability of its target.",
        "Then -log of what was picked, and the mean over all B * T places: one number.",
    ],
    library=model.GPT.forward,
    by_hand=dict.fromkeys(
        ("cross_entropy", "cross_entropy_loss"),
        "F.cross_entropy does it, and the library uses it as well. Here write softmax, gather, "
        "-log and mean yourself.",
    ),
    praise="the library leaves it to F.cross_entropy, which also survives huge scores.",
)
def loss_by_hand(logits, targets):
    p = logits.softmax(dim=-1)  # (B, T, V)
    right = p.gather(-1, targets[..., None])  # (B, T, 1), the probability of what really came
    return -right.log().mean()


@loss_by_hand.mistake(
    "the softmax goes over the wrong axis: the probabilities of the V symbols must sum to 1 at "
    "each place, so it goes over the last axis, dim=-1."
)
def loss_softmax_over_time(logits, targets):
    return -logits.softmax(dim=1).gather(-1, targets[..., None]).log().mean()


@loss_by_hand.mistake(
    "the softmax goes over the sequences of the batch. They have nothing to do with one another: "
    "take the last axis, dim=-1."
)
def loss_softmax_over_batch(logits, targets):
    return -logits.softmax(dim=0).gather(-1, targets[..., None]).log().mean()


@loss_by_hand.mistake(
    "the minus is missing: the logarithm of a probability is negative, and a loss is what one "
    "wants small."
)
def loss_without_minus(logits, targets):
    return -loss_by_hand.answer(logits, targets)


@loss_by_hand.mistake(
    "that is the sum over all places; take the mean, or a larger batch would have a larger loss."
)
def loss_summed(logits, targets):
    return loss_by_hand.answer(logits, targets) * targets.numel()


@loss_by_hand.mistake(
    "the logarithm is missing: this is minus the mean probability of what came. -ln p grows "
    "without end as p falls to 0, so that confident errors cost most."
)
def loss_without_log(logits, targets):
    return -logits.softmax(dim=-1).gather(-1, targets[..., None]).mean()


@loss_by_hand.mistake(
    "it averages over all V symbols. Only the one that really came counts: pick it with gather."
)
def loss_of_all_symbols(logits, targets):
    return -logits.softmax(dim=-1).log().mean()


@loss_by_hand.mistake("the scores are taken for probabilities' logarithms: the softmax is missing.")
def loss_without_softmax(logits, targets):
    return -logits.gather(-1, targets[..., None]).mean()


@loss_by_hand.mistake(
    "the mean comes before the logarithm. Each place has its own -ln p; the mean of those is the "
    "loss. Else a place that was quite wrong would hardly count."
)
def loss_log_of_the_mean(logits, targets):
    return -logits.softmax(dim=-1).gather(-1, targets[..., None]).mean().log()


@loss_by_hand.mistake("that is in bits, with log2: a loss takes the natural logarithm, .log().")
def loss_in_bits(logits, targets):
    return loss_by_hand.answer(logits, targets) / math.log(2)


@loss_by_hand.mistake("that is the loss of each place. At the end: .mean(), one number for all.")
def loss_of_each_place(logits, targets):
    return -logits.softmax(dim=-1).gather(-1, targets[..., None]).log()


@loss_by_hand.mistake(
    "gather wants the targets with as many axes as the probabilities, (B, T, 1): write "
    "targets[..., None]."
)
def loss_gathered_without_an_axis(logits, targets):
    return -logits.softmax(dim=-1).gather(-1, targets).log().mean()


@exercise(
    question="The weights after one step downhill, with learning rate lr.",
    minutes=3,
    level=1,
    inputs=[
        (torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, -4.0, 0.0]), 0.1),
        (example(2, 3), example(2, 3, seed=1), 0.5),
    ],
    hints=[
        "The gradient points uphill: where the loss grows fastest. Which way do you go?",
        "The length of the step is the learning rate times the gradient.",
    ],
    praise="optimizer.step() does this, or something cleverer, for every weight.",
)
def sgd_step(w, gradient, lr):
    return w - lr * gradient


@sgd_step.mistake("uphill: with the plus the loss grows. Go against the gradient.")
def sgd_uphill(w, gradient, lr):
    return w + lr * gradient


@sgd_step.mistake("that is the step alone. Give the new weights: where you stand, plus the step.")
def sgd_the_step_alone(w, gradient, lr):
    return -lr * gradient


@sgd_step.mistake(
    "that is the step alone, and uphill. Give the new weights: where you stand, minus the step."
)
def sgd_lr_times_gradient(w, gradient, lr):
    return lr * gradient


@sgd_step.mistake("the learning rate is missing: the step is lr times the gradient.")
def sgd_without_lr(w, gradient, lr):
    return w - gradient


@sgd_step.mistake(
    "only the gradient's sign counts here, not its size. Interesting, and close to what Adam "
    "does; plain SGD multiplies by the gradient itself."
)
def sgd_of_the_sign(w, gradient, lr):
    return w - lr * gradient.sign()


@sgd_step.mistake(
    "the learning rate multiplies the weights, too, and shrinks them. It belongs to the gradient "
    "alone: w - lr * gradient."
)
def sgd_with_brackets(w, gradient, lr):
    return lr * (w - gradient)


ADAM = [
    # w, gradient, m, v, t: the first step, and a later one
    (torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, -0.001, 2.0]), torch.zeros(3)),
    (torch.tensor([0.5, 0.5, -1.0]), torch.tensor([0.2, 1.0, -0.3]), torch.tensor([0.1, -0.2, 0])),
]


@exercise(
    question="One step of AdamW: the new w, m and v. t counts the steps from 1.",
    minutes=15,
    level=3,
    inputs=[
        (*ADAM[0], torch.zeros(3), 1, 0.1),
        (*ADAM[1], torch.tensor([0.02, 0.3, 0.001]), 5, 0.05),
    ],
    used=True,
    hints=[
        "m = 0.9 * m + 0.1 * gradient, and v likewise with 0.99, 0.01 and the gradient's square.",
        "Both begin at 0 and are too small at first: m / (1 - 0.9**t), v / (1 - 0.99**t) mend it.",
        "w shrinks by the factor 1 - lr * 0.1, then goes lr * m_hat / (v_hat.sqrt() + 1e-8) down.",
    ],
    library=training.make_optimizer,
    praise="at t = 1 every weight moves by about lr, however small its gradient is.",
)
def adamw_step(w, gradient, m, v, t, lr):
    m = 0.9 * m + 0.1 * gradient  # which way it has gone lately
    v = 0.99 * v + 0.01 * gradient**2  # how large gradients have been lately, squared
    m_hat = m / (1 - 0.9**t)
    v_hat = v / (1 - 0.99**t)
    w = w * (1 - lr * 0.1)  # weight decay
    return w - lr * m_hat / (v_hat.sqrt() + 1e-8), m, v


@adamw_step.mistake(
    "the correction of the start is missing: m and v begin at 0 and are too small for many steps. "
    "Divide m by 1 - 0.9**t and v by 1 - 0.99**t before you use them."
)
def adamw_uncorrected(w, gradient, m, v, t, lr):
    _, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    return w * (1 - lr * 0.1) - lr * m / (v.sqrt() + 1e-8), m, v


@adamw_step.mistake(
    "it returns the corrected m and v. Keep the uncorrected ones: the next step goes on from them "
    "and corrects anew."
)
def adamw_keeps_corrected(w, gradient, m, v, t, lr):
    w, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    return w, m / (1 - 0.9**t), v / (1 - 0.99**t)


@adamw_step.mistake(
    "the square root is missing: v is made of squares, so m is divided by its root. Else the step "
    "grows as the gradient shrinks."
)
def adamw_without_root(w, gradient, m, v, t, lr):
    _, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.99**t)
    return w * (1 - lr * 0.1) - lr * m_hat / (v_hat + 1e-8), m, v


@adamw_step.mistake("the weight decay is missing: w first shrinks by the factor 1 - lr * 0.1.")
def adamw_without_decay(w, gradient, m, v, t, lr):
    moved, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    return moved + w * lr * 0.1, m, v


@adamw_step.mistake(
    "the decay is added to the gradient: that is Adam with L2, where the division by sqrt(v) "
    "undoes the decay of weights with large gradients. The W of AdamW keeps the two apart: shrink "
    "w itself."
)
def adamw_with_l2(w, gradient, m, v, t, lr):
    moved, m, v = adamw_step.answer(w, gradient + 0.1 * w, m, v, t, lr)
    return moved + w * lr * 0.1, m, v


@adamw_step.mistake("v averages the gradient itself; it needs the gradient's square.")
def adamw_v_unsquared(w, gradient, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.99**t)
    return w * (1 - lr * 0.1) - lr * m_hat / (v_hat.sqrt() + 1e-8), m, v


@adamw_step.mistake(
    "the decay comes after the step, so that it shrinks the step as well. First w shrinks, then "
    "the step is subtracted."
)
def adamw_decay_afterwards(w, gradient, m, v, t, lr):
    moved, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    step = w * (1 - lr * 0.1) - moved
    return (w - step) * (1 - lr * 0.1), m, v


@adamw_step.mistake(
    "the decay lacks the learning rate: w would lose a tenth of itself at every step. The factor "
    "is 1 - lr * 0.1."
)
def adamw_decay_without_lr(w, gradient, m, v, t, lr):
    moved, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    step = w * (1 - lr * 0.1) - moved
    return w * (1 - 0.1) - step, m, v


@adamw_step.mistake(
    "it takes the step with the m and v that came in. First bring both up to date with this "
    "gradient, then use them."
)
def adamw_with_old_averages(w, gradient, m, v, t, lr):
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.99**t)
    _, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    return w * (1 - lr * 0.1) - lr * m_hat / (v_hat.sqrt() + 1e-8), m, v


@adamw_step.mistake(
    "the 1e-8 is under the root, where it makes the steps of small gradients smaller. Here it "
    "comes after the root: v_hat.sqrt() + 1e-8. (Layer norm does it the other way.)"
)
def adamw_epsilon_under_the_root(w, gradient, m, v, t, lr):
    _, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.99**t)
    return w * (1 - lr * 0.1) - lr * m_hat / (v_hat + 1e-8).sqrt(), m, v


@adamw_step.mistake("the weights are right; the next step needs m and v, too: return w, m, v.")
def adamw_weights_alone(w, gradient, m, v, t, lr):
    return adamw_step.answer(w, gradient, m, v, t, lr)[0]


@adamw_step.mistake("all three are right, in another order: return w first, then m, then v.")
def adamw_in_another_order(w, gradient, m, v, t, lr):
    w, m, v = adamw_step.answer(w, gradient, m, v, t, lr)
    return m, v, w


@exercise(
    question="The learning rate of a step (counted from 0): linear warm-up, then half a cosine.",
    minutes=10,
    level=2,
    inputs=[
        *[(step, 100, 10, 1.0, 0.1) for step in (0, 4, 9, 10, 33, 55, 99, 100)],
        *[(step, 60, 6, 0.5, 0.2) for step in (2, 5, 33, 60)],
    ],
    used=True,
    hints=[
        "There are two parts. While step < warmup the rate climbs in a straight line: its first "
        "step is above 0 already, and its last step has all of `high`.",
        "After that, progress = (step - warmup) / (max_steps - warmup) runs from 0 to 1.",
        "0.5 * (1 + math.cos(math.pi * progress)) falls from 1 to 0; spread it over low to high.",
    ],
    library=training.lr_at,
    praise="the library shortens the warm-up of very short runs, else it is the same.",
)
def rate_at(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    progress = (step - warmup) / (max_steps - warmup)  # 0 to 1
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * progress))


@rate_at.mistake(
    "the first step has the rate 0, and changes nothing. Steps count from 0: use step + 1 in the "
    "warm-up."
)
def rate_from_zero(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * step / warmup
    return rate_at.answer(step, max_steps, warmup, high, low)


@rate_at.mistake(
    "the cosine ends at 0. It should end at `low`: spread the curve over low to high, not 0 to "
    "high."
)
def rate_to_zero(step, max_steps, warmup, high, low):
    return rate_at.answer(step, max_steps, warmup, high, 0.0)


@rate_at.mistake(
    "the progress of the cosine counts from step 0, so there is a jump where the warm-up ends. "
    "Count it from there: (step - warmup) / (max_steps - warmup)."
)
def rate_that_jumps(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    return rate_at.answer(step, max_steps, 0, high, low)


@rate_at.mistake("after the warm-up it falls in a straight line; half a cosine is asked for.")
def rate_linear(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    return high - (high - low) * (step - warmup) / (max_steps - warmup)


@rate_at.mistake(
    "a bare cosine runs from 1 to -1, and a negative learning rate climbs uphill. 0.5 * (1 + cos) "
    "runs from 1 to 0."
)
def rate_below_zero(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    progress = (step - warmup) / (max_steps - warmup)
    return low + (high - low) * math.cos(math.pi * progress)


WARMUP_FROM_LOW = (
    "the warm-up climbs from `low`. It climbs from 0; `low` is where the cosine ends. While "
    "step < warmup the rate is high * (step + 1) / warmup."
)


@rate_at.mistake(WARMUP_FROM_LOW)
def rate_up_from_low(step, max_steps, warmup, high, low):
    if step < warmup:
        return low + (high - low) * (step + 1) / warmup
    return rate_at.answer(step, max_steps, warmup, high, low)


@rate_at.mistake(WARMUP_FROM_LOW)
def rate_starting_at_low(step, max_steps, warmup, high, low):
    if step < warmup:
        return low + (high - low) * step / warmup
    return rate_at.answer(step, max_steps, warmup, high, low)


@rate_at.mistake(
    "the pi is missing: half a cosine goes from 0 to pi, and without it the rate comes down a "
    "quarter of the way. math.cos(math.pi * progress)."
)
def rate_without_pi(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    progress = (step - warmup) / (max_steps - warmup)
    return low + (high - low) * 0.5 * (1 + math.cos(progress))


@rate_at.mistake(
    "the cosine begins at low + high, above `high`. It is spread over the distance between them: "
    "low + (high - low) * ..."
)
def rate_above_high(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / warmup
    return low + rate_at.answer(step, max_steps, warmup, high, 0.0)


@rate_at.mistake(
    "the warm-up ends just below `high`: it divides by warmup + 1. Step 0 is the first of `warmup` "
    "steps, so the last one, warmup - 1, has high * warmup / warmup."
)
def rate_divided_by_one_more(step, max_steps, warmup, high, low):
    if step < warmup:
        return high * (step + 1) / (warmup + 1)
    return rate_at.answer(step, max_steps, warmup, high, low)


def with_the_curve(curve, step, max_steps, warmup, high, low):
    """The schedule with another curve after the warm-up; for the mistakes below."""
    if step < warmup:
        return high * (step + 1) / warmup
    progress = (step - warmup) / (max_steps - warmup)
    return low + (high - low) * curve(math.cos(math.pi * progress))


@rate_at.mistake(
    "the `1 +` is missing: 0.5 * cos runs from 0.5 to -0.5, so it begins half way and ends below "
    "`low`. 0.5 * (1 + cos) runs from 1 to 0."
)
def rate_without_one(*arguments):
    return with_the_curve(lambda cos: 0.5 * cos, *arguments)


@rate_at.mistake(
    "the `0.5 *` is missing: 1 + cos runs from 2 to 0, so the rate jumps above `high` after the "
    "warm-up. 0.5 * (1 + cos) runs from 1 to 0."
)
def rate_without_half(*arguments):
    return with_the_curve(lambda cos: 1 + cos, *arguments)


@rate_at.mistake(
    "the brackets are missing: 0.5 * 1 + cos is 0.5 + cos. It is half of the sum, 0.5 * (1 + cos)."
)
def rate_without_brackets(*arguments):
    return with_the_curve(lambda cos: 0.5 + cos, *arguments)


@rate_at.mistake(
    "the curve goes up: 1 - cos runs from 0 to 2. The rate should come down from `high` to `low`: "
    "1 + cos."
)
def rate_rising(*arguments):
    return with_the_curve(lambda cos: 0.5 * (1 - cos), *arguments)


@rate_at.mistake("`high` is not used: 1.0 is only what the first calls give. Write `high`.")
def rate_ignoring_high(step, max_steps, warmup, high, low):
    return rate_at.answer(step, max_steps, warmup, 1.0, low)


@rate_at.mistake("`low` is not used: 0.1 is only what the first calls give. Write `low`.")
def rate_ignoring_low(step, max_steps, warmup, high, low):
    return rate_at.answer(step, max_steps, warmup, high, 0.1)


HARD_WIRED = (
    "it looks at `step` alone: 100, 10, 1.0 and 0.1 are only what the first calls give. Write "
    "max_steps, warmup, high and low."
)


@rate_at.mistake(HARD_WIRED)
def rate_hard_wired(step, max_steps, warmup, high, low):
    return rate_at.answer(step, 100, 10, 1.0, 0.1)


@rate_at.mistake(HARD_WIRED)
def rate_with_steps_hard_wired(step, max_steps, warmup, high, low):
    return rate_at.answer(step, 100, 10, high, low)


@rate_at.mistake(
    "the warm-up is missing: it starts at the full rate. While step < warmup, climb in a line."
)
def rate_without_warmup(step, max_steps, warmup, high, low):
    return rate_at.answer(step, max_steps, 0, high, low)


@exercise(
    question="The factor for all gradients that makes them max_norm long at most, all together.",
    minutes=8,
    level=2,
    inputs=[
        ([torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])], 1.0),
        ([torch.tensor([[0.3, 0.0]]), torch.tensor([0.4])], 1.0),
        ([torch.tensor([[0.3, 0.0]]), torch.tensor([0.4])], 0.25),
        ([torch.tensor([1.5]), torch.tensor([2.0])], 4.0),
        ([2 * example(4, 3), example(5, seed=1)], 2.0),
    ],
    hints=[
        "All gradients form one long arrow. Its length: the root of the sum of all squares.",
        "sum((g**2).sum() for g in gradients) ** 0.5 is that length, over all tensors together.",
        "Shorten what is too long, and leave alone what is short enough: never a factor above 1.",
    ],
    praise="PyTorch's clip_grad_norm_ does it. The direction stays: only the length is cut.",
)
def clip_factor(gradients, max_norm):
    length = sum((g**2).sum() for g in gradients) ** 0.5
    return min(1.0, float(max_norm / length))


@clip_factor.mistake(
    "it also makes short gradients longer: then the steps near a minimum would never get small. "
    "The factor is 1 at most."
)
def clip_always(gradients, max_norm):
    return float(max_norm / sum((g**2).sum() for g in gradients) ** 0.5)


@clip_factor.mistake("the root is missing: the length is the square root of the sum of squares.")
def clip_without_root(gradients, max_norm):
    return min(1.0, float(max_norm / sum((g**2).sum() for g in gradients)))


@clip_factor.mistake(
    "it adds up the lengths of the tensors. They are parts of one arrow: add up the squares, and "
    "take the root once, at the end."
)
def clip_sum_of_lengths(gradients, max_norm):
    return min(1.0, float(max_norm / sum(g.norm() for g in gradients)))


@clip_factor.mistake(
    "it looks at the largest single gradient. What counts is the length of all of them together."
)
def clip_by_the_largest(gradients, max_norm):
    return min(1.0, float(max_norm / max(g.abs().max() for g in gradients)))


@clip_factor.mistake(
    "that is the other way round: a long gradient must be made shorter, so the length goes below "
    "the fraction line."
)
def clip_upside_down(gradients, max_norm):
    return max(1.0, float(sum((g**2).sum() for g in gradients) ** 0.5 / max_norm))


@clip_factor.mistake(
    "each tensor has a factor of its own here, and that turns the arrow. One factor for all keeps "
    "its direction: take the length of all of them together."
)
def clip_each_by_its_own(gradients, max_norm):
    return [min(1.0, float(max_norm / g.norm())) for g in gradients]


@clip_factor.mistake("that is the length. The factor is max_norm / length, and never above 1.")
def clip_gives_the_length(gradients, max_norm):
    return float(sum((g**2).sum() for g in gradients) ** 0.5)


@clip_factor.mistake(
    "those are the gradients, rightly shortened. The question asks for the factor, one number."
)
def clip_gives_gradients(gradients, max_norm):
    return [g * clip_factor.answer(gradients, max_norm) for g in gradients]


COMPARED_WITH_ONE = (
    "it asks whether the length is below 1. The limit is max_norm: a length of 0.5 is too long for "
    "a max_norm of 0.25, and 2.5 is short enough for 4."
)


@clip_factor.mistake(COMPARED_WITH_ONE)
def clip_nothing_below_one(gradients, max_norm):
    length = sum((g**2).sum() for g in gradients) ** 0.5
    return 1.0 if length < 1 else min(1.0, float(max_norm / length))


@clip_factor.mistake(COMPARED_WITH_ONE)
def clip_all_above_one(gradients, max_norm):
    length = sum((g**2).sum() for g in gradients) ** 0.5
    return 1.0 if length <= 1 else float(max_norm / length)


@clip_factor.mistake("it does not look at max_norm: 1 is only what the first calls give.")
def clip_to_one(gradients, max_norm):
    return clip_factor.answer(gradients, 1.0)
