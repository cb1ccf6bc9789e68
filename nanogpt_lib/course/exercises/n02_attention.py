"""Exercises of notebook 02: from an average of the past to heads of attention."""

import math

import torch

from nanogpt_lib.course.exercises.base import exercise
from nanogpt_lib.model import CausalSelfAttention


def example(*shape, seed=0):
    """Numbers to try an answer on; always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Small ones, which a message can show.
ROWS = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])  # (3, 2)
SCORES = torch.tensor([[1.0, 2.0, 0.5], [0.5, 1.0, 3.0], [2.0, -1.0, 1.5]])  # (3, 3)
QUERIES = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 3.0]])  # (2, 4)
KEYS = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 1.0, 1.0]])  # (3, 4)
TINY = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])  # (3, 2)
MATRICES = [torch.tensor(m) for m in ([[1.0, 0], [0, 2]], [[0, 1.0], [3, 0]], [[1.0, 5], [2, 0]])]
CHANNELS = torch.tensor([[[11.0, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34]]])  # (1, 3, 4)

NOT_KEPT = "(masked_fill gives a new tensor: is it kept?)"


@exercise(
    question="For each token the mean of the vectors up to and with its own: (T, C) -> (T, C).",
    minutes=5,
    level=1,
    inputs=[(ROWS,), (example(5, 3),), (example(4, 4, seed=1),)],
    used=True,
    hints=[
        "Row t of the result is a mean over the rows 0, 1, ..., t of x: t + 1 of them.",
        "`x[: t + 1].mean(dim=0)` is one such row; dim=0 averages over tokens, not channels.",
        "torch.stack([...]) makes one tensor of a list of rows.",
    ],
    praise="that is attention already, with the same weight for every token of the past.",
)
def causal_mean(x):
    return torch.stack([x[: t + 1].mean(dim=0) for t in range(len(x))])  # (T, C)


@causal_mean.mistake(
    "every row is the mean of the whole text: each token already sees what comes after it. Row t "
    "may use only the rows up to t."
)
def mean_of_everything(x):
    return x.mean(dim=0).expand(x.shape)


@causal_mean.mistake(
    "those are sums: divide row t by the number of tokens in it, or later tokens get ever larger "
    "vectors."
)
def sum_of_the_past(x):
    return x.cumsum(dim=0)


@causal_mean.mistake(
    "the token itself is left out, so the first one has nothing to average (NaN: 0 divided by 0). "
    "A slice ends before its end: x[: t + 1]."
)
def mean_without_itself(x):
    return torch.stack([x[:t].mean(dim=0) for t in range(len(x))])


@causal_mean.mistake(
    "every row is divided by T, the length of the text. Row t has t + 1 tokens in it: divide by "
    "that, or x[: t + 1].mean(dim=0) does."
)
def mean_over_all(x):
    return x.cumsum(dim=0) / len(x)


@causal_mean.mistake(
    "it looks the wrong way: row t is the mean of what comes from t on. The past is x[: t + 1]."
)
def mean_of_the_future(x):
    return torch.stack([x[t:].mean(dim=0) for t in range(len(x))])


@causal_mean.mistake(
    "row t is divided by t, so the first one by 0. It has t + 1 tokens in it: count from 1, as in "
    "torch.arange(1, T + 1)."
)
def mean_counted_from_zero(x):
    return x.cumsum(dim=0) / torch.arange(len(x))[:, None]


@causal_mean.mistake("the rows are right, in a list: torch.stack(...) makes one tensor of them.")
def mean_as_list(x):
    return list(causal_mean.answer(x))


@exercise(
    question="Scores to causal weights: mask the future, then softmax; (T, T) -> (T, T).",
    minutes=8,
    level=2,
    inputs=[(SCORES,), (example(5, 5),), (2 * example(4, 4, seed=1),)],
    used=True,
    hints=[
        "The row is the token that looks, the column the one it looks at: the future lies above "
        "the diagonal.",
        "torch.ones(T, T, dtype=torch.bool).triu(diagonal=1) is True there and nowhere else.",
        "scores.masked_fill(future, -math.inf), then .softmax(dim=-1): each row must sum to 1.",
    ],
    library=CausalSelfAttention.weights,
    praise="e to the power of minus infinity is 0, so the rest of each row still sums to 1.",
)
def causal_weights(scores):
    T = len(scores)
    future = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)  # (T, T)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1)  # each row sums to 1


@causal_weights.mistake(
    "the mask is missing: tokens look at what comes after them. Set those scores to -math.inf "
    f"before the softmax. {NOT_KEPT}"
)
def weights_without_mask(scores):
    return scores.softmax(dim=-1)


@causal_weights.mistake(
    "those are scores still, with the future masked. The softmax is missing, which makes weights "
    "of them: each row sums to 1."
)
def weights_without_softmax(scores):
    T = len(scores)
    future = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)
    return scores.masked_fill(future, -math.inf)


@causal_weights.mistake(
    "the softmax goes over the wrong axis: it is the rows that must sum to 1, one row for each "
    "token that looks. That is dim=-1."
)
def weights_down_the_columns(scores):
    T = len(scores)
    future = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)
    return scores.masked_fill(future, -math.inf).softmax(dim=-2)


@causal_weights.mistake(
    "the future is cut off after the softmax, so the rows no longer sum to 1, and the future still "
    "has a say in what they do sum to. Mask the scores with -math.inf first."
)
def weights_masked_afterwards(scores):
    return scores.softmax(dim=-1).tril()


@causal_weights.mistake(
    "the masked scores are 0, and 0 is an ordinary score: e to the power of 0 is 1. Only "
    "-math.inf gives a weight of 0."
)
def weights_masked_with_zero(scores):
    return scores.tril().softmax(dim=-1)


@causal_weights.mistake(
    "the mask covers the diagonal, too: a token may look at itself, and the first one has nothing "
    "else (its row is NaN). Use triu(diagonal=1)."
)
def weights_without_itself(scores):
    T = len(scores)
    future = torch.ones(T, T, dtype=torch.bool).triu()
    return scores.masked_fill(future, -math.inf).softmax(dim=-1)


@causal_weights.mistake(
    "the mask is upside down: it hides the past and shows the future. Row t may see the columns "
    "0 to t, so what is hidden lies above the diagonal: triu(diagonal=1)."
)
def weights_of_the_future(scores):
    T = len(scores)
    past = torch.ones(T, T, dtype=torch.bool).tril(diagonal=-1)
    return scores.masked_fill(past, -math.inf).softmax(dim=-1)


@causal_weights.mistake(
    "the mask is upside down: it hides the past and the token itself, so the last row has nothing "
    "left (NaN). tril() is True where a token may look: mask where it is 0, not where it is 1."
)
def weights_with_tril_inverted(scores):
    past = torch.ones_like(scores, dtype=torch.bool).tril()
    return scores.masked_fill(past, -math.inf).softmax(dim=-1)


@causal_weights.mistake(
    "the future has the weight 0, and the past is not shared out: there is no softmax, which makes "
    "the rows sum to 1, and 0 is no mask for scores. Use -math.inf, then softmax."
)
def weights_of_zeros_alone(scores):
    return scores.tril()


@exercise(
    question="Scores of queries and keys, kept at size 1: (T, d) and (S, d) -> (T, S).",
    minutes=4,
    level=1,
    inputs=[
        (QUERIES, KEYS),
        (example(4, 16), example(6, 16, seed=1)),
        (example(3, 5, seed=2), example(2, 5)),
    ],
    used=True,
    hints=[
        "q @ k.T has the dot product of query i with key j at place (i, j).",
        "d, the length of the vectors, is q.size(-1). Divide by its square root.",
    ],
    library=CausalSelfAttention.weights,
    praise="now scores have about the size 1, however long the vectors are.",
)
def attention_scores(q, k):
    return q @ k.T / math.sqrt(q.size(-1))  # (T, S)


@attention_scores.mistake(
    "the scaling is missing: dot products of vectors of length d have the size sqrt(d). Divide "
    "by it."
)
def scores_not_scaled(q, k):
    return q @ k.T


@attention_scores.mistake(
    "it divides by d, not by its square root. It is the variance that grows like d; the size, "
    "the standard deviation, grows like sqrt(d)."
)
def scores_over_d(q, k):
    return q @ k.T / q.size(-1)


@attention_scores.mistake(
    "queries and keys are swapped: the row is the query, the token that looks; the column is "
    "the key. That is q @ k.T."
)
def scores_transposed(q, k):
    return k @ q.T / math.sqrt(q.size(-1))


OVER_TOKENS = (
    "it divides by the square root of the number of tokens. What makes scores large is the length "
    "of the vectors, q.size(-1)."
)


@attention_scores.mistake(OVER_TOKENS)
def scores_over_queries(q, k):
    return q @ k.T / math.sqrt(len(q))


@attention_scores.mistake(OVER_TOKENS)
def scores_over_keys(q, k):
    return q @ k.T / math.sqrt(len(k))


@attention_scores.mistake(
    "those are weights already. The question asks for the scores: the softmax comes after the "
    "mask, which is not there yet."
)
def scores_with_softmax(q, k):
    return attention_scores.answer(q, k).softmax(dim=-1)


@attention_scores.mistake(
    "it multiplies by sqrt(d) where it should divide: now the scores are larger still."
)
def scores_scaled_up(q, k):
    return q @ k.T * math.sqrt(q.size(-1))


@exercise(
    question="One head of causal attention: x (T, C), three matrices (C, d) -> (T, d).",
    minutes=10,
    level=3,
    inputs=[
        (TINY, *MATRICES),
        (example(5, 8), *(example(8, 3, seed=s) for s in (1, 2, 3))),
        (example(7, 6, seed=4), *(example(6, 2, seed=s) for s in (5, 6, 7))),
    ],
    hints=[
        "First the three roles: q = x @ W_q, k = x @ W_k, v = x @ W_v, each (T, d).",
        "Then scores, scaled by sqrt(d); then the mask; then the softmax. You have both parts.",
        "At the end the weights (T, T) mix the values (T, d): weights @ v.",
    ],
    library=CausalSelfAttention,
    used=True,
    by_hand={
        "scaled_dot_product_attention": (
            "PyTorch's fused attention does all of it in one call, and the library uses it as "
            "well. Here write its steps: scores, scale, mask, softmax, weights @ v."
        )
    },
    praise="that is the whole of attention: everything else is doing it several times at once.",
)
def attention_head(x, W_q, W_k, W_v):
    q, k, v = x @ W_q, x @ W_k, x @ W_v  # each (T, d)
    scores = q @ k.T / math.sqrt(q.size(-1))  # (T, T)
    future = torch.ones(len(x), len(x), dtype=torch.bool).triu(diagonal=1)
    weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)  # (T, T), rows sum to 1
    return weights @ v  # (T, d)


def head_like(x, W_q, W_k, W_v, scale=None, mask=True, dim=-1, values=None):
    """A head with one thing done otherwise; for the mistakes below."""
    q, k, v = x @ W_q, x @ W_k, x @ W_v
    scores = q @ k.T / (math.sqrt(q.size(-1)) if scale is None else scale)
    if mask:
        future = torch.ones(len(x), len(x), dtype=torch.bool).triu(diagonal=1)
        scores = scores.masked_fill(future, -math.inf)
    return scores.softmax(dim=dim) @ (v if values is None else values)


@attention_head.mistake(
    "the mask is missing: each token also gathers from the tokens after it. A model with this "
    f"head would read its answers off the page. {NOT_KEPT}"
)
def head_without_mask(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, mask=False)


@attention_head.mistake(
    "the scaling is missing: divide the scores by sqrt(d) before the softmax, or it saturates."
)
def head_without_scale(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, scale=1.0)


@attention_head.mistake(
    "two things are missing: the scores are neither divided by sqrt(d) nor masked before the "
    "softmax."
)
def head_without_scale_and_mask(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, scale=1.0, mask=False)


@attention_head.mistake(
    "it scales by sqrt(C), the width of x. The dot product has d terms, so it is sqrt(d): "
    "q.size(-1), not x.size(-1)."
)
def head_scaled_by_width(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, scale=math.sqrt(x.size(-1)))


@attention_head.mistake(
    "the softmax goes over the wrong axis: each token's own row of weights must sum to 1, which "
    "is dim=-1."
)
def head_down_the_columns(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, dim=0)


@attention_head.mistake(
    "the weights mix x itself, so the result has C channels. They should mix the values v = "
    "x @ W_v, which have d."
)
def head_without_values(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, values=x)


@attention_head.mistake(
    "queries and keys are swapped: the row belongs to the query, the token that looks. "
    "The scores are q @ k.T."
)
def head_swapped(x, W_q, W_k, W_v):
    return head_like(x, W_k, W_q, W_v)


@attention_head.mistake(
    "the weights mix the keys. Keys are there to be found; what is handed over are the values, "
    "v = x @ W_v."
)
def head_mixing_keys(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_k)


@attention_head.mistake(
    "those are the weights (T, T). One step is left: they mix the values, weights @ v."
)
def head_of_weights_alone(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, values=torch.eye(len(x)))


AFTERWARDS = (
    "the mask comes after the softmax: the rows no longer sum to 1, and the future still has a say "
    "in what they do sum to. Mask the scores with -math.inf first."
)
ZEROS = (
    "the masked scores are 0, and 0 is an ordinary score: e to the power of 0 is 1. Only -math.inf "
    "gives a weight of 0."
)
NO_SOFTMAX = (
    "the softmax is missing: scores are no weights. Mask them with -math.inf, then .softmax(dim=-1)"
    " makes each row sum to 1."
)
UPSIDE_DOWN = (
    "the mask is upside down: it hides the past and shows the future. tril() is True where a token "
    "may look: mask where it is 0."
)


def scaled(x, W_q, W_k):
    q, k = x @ W_q, x @ W_k
    return q @ k.T / math.sqrt(q.size(-1))  # (T, T)


@attention_head.mistake(AFTERWARDS)
def head_masked_afterwards(x, W_q, W_k, W_v):
    return scaled(x, W_q, W_k).softmax(dim=-1).tril() @ (x @ W_v)


@attention_head.mistake(AFTERWARDS)
def head_masked_with_inf_afterwards(x, W_q, W_k, W_v):
    future = torch.ones(len(x), len(x), dtype=torch.bool).triu(diagonal=1)
    return scaled(x, W_q, W_k).softmax(dim=-1).masked_fill(future, -math.inf) @ (x @ W_v)


@attention_head.mistake(ZEROS)
def head_masked_with_zero(x, W_q, W_k, W_v):
    return scaled(x, W_q, W_k).tril().softmax(dim=-1) @ (x @ W_v)


@attention_head.mistake(NO_SOFTMAX)
def head_without_softmax(x, W_q, W_k, W_v):
    future = torch.ones(len(x), len(x), dtype=torch.bool).triu(diagonal=1)
    return scaled(x, W_q, W_k).masked_fill(future, -math.inf) @ (x @ W_v)


@attention_head.mistake(NO_SOFTMAX)
def head_of_masked_scores(x, W_q, W_k, W_v):
    return scaled(x, W_q, W_k).tril() @ (x @ W_v)


@attention_head.mistake(NO_SOFTMAX)
def head_of_scores(x, W_q, W_k, W_v):
    return scaled(x, W_q, W_k) @ (x @ W_v)


@attention_head.mistake(
    "the scale comes after the softmax, where it only makes every result smaller. It is the scores "
    "that are too large: divide them, then take the softmax."
)
def head_scaled_afterwards(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, scale=1.0) / math.sqrt(W_q.size(-1))


@attention_head.mistake(
    "it divides by d, not by its square root: math.sqrt(q.size(-1)). It is the variance that grows "
    "like d, the size grows like sqrt(d)."
)
def head_over_d(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, scale=W_q.size(-1))


@attention_head.mistake("it multiplies by sqrt(d) where it should divide: scores get larger still.")
def head_scaled_up(x, W_q, W_k, W_v):
    return head_like(x, W_q, W_k, W_v, scale=1 / math.sqrt(W_q.size(-1)))


@attention_head.mistake(
    "the weights are turned on their side: weights.T @ v lets every token hand itself to the "
    "tokens before it. A row of weights belongs to the token that looks: weights @ v."
)
def head_of_turned_weights(x, W_q, W_k, W_v):
    weights = head_like(x, W_q, W_k, W_v, values=torch.eye(len(x)))
    return weights.T @ (x @ W_v)


@attention_head.mistake(UPSIDE_DOWN)
def head_of_the_future(x, W_q, W_k, W_v):
    past = torch.ones(len(x), len(x), dtype=torch.bool).tril(diagonal=-1)
    return scaled(x, W_q, W_k).masked_fill(past, -math.inf).softmax(dim=-1) @ (x @ W_v)


@attention_head.mistake(UPSIDE_DOWN)
def head_with_tril_inverted(x, W_q, W_k, W_v):
    past = torch.ones(len(x), len(x), dtype=torch.bool).tril()
    return scaled(x, W_q, W_k).masked_fill(past, -math.inf).softmax(dim=-1) @ (x @ W_v)


@attention_head.mistake(
    "the mask covers the diagonal, too: a token may look at itself, and the first one has nothing "
    "else (its row is NaN). Use triu(diagonal=1)."
)
def head_without_itself(x, W_q, W_k, W_v):
    future = torch.ones(len(x), len(x), dtype=torch.bool).triu()
    return scaled(x, W_q, W_k).masked_fill(future, -math.inf).softmax(dim=-1) @ (x @ W_v)


@exercise(
    question="Cut the channels into heads: (B, T, C) -> (B, n_head, T, C / n_head).",
    minutes=6,
    level=2,
    inputs=[(CHANNELS, 2), (example(2, 5, 12), 3), (example(1, 4, 8, seed=1), 2)],
    used=True,
    hints=[
        "Head 0 has the first d = C / n_head channels of every token, head 1 the next d, ...",
        "x.view(B, T, n_head, d) cuts the last axis and leaves everything in its place.",
        "Then transpose(1, 2) brings the heads before the tokens: (B, n_head, T, d).",
    ],
    library=CausalSelfAttention.heads,
    praise="no number was copied: view and transpose only change how the numbers are addressed.",
)
def split_heads(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, n_head, C // n_head).transpose(1, 2)  # (B, n_head, T, d)


@split_heads.mistake(
    "the shape is right and the numbers are scrambled: a view straight to (B, n_head, T, d) cuts "
    "the tokens apart. First view as (B, T, n_head, d), then transpose(1, 2)."
)
def heads_scrambled(x, n_head):
    B, T, C = x.shape
    return x.reshape(B, n_head, T, C // n_head)


@split_heads.mistake(
    "the heads stand behind the tokens: (B, T, n_head, d). One transpose(1, 2) more, so that "
    "each head has a (T, d) of its own."
)
def heads_not_transposed(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, n_head, C // n_head)


@split_heads.mistake(
    "each head takes every n_head-th channel instead of neighbouring ones: the last axis was cut "
    "as (d, n_head). Cut it as (n_head, d), head by head."
)
def heads_interleaved(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, C // n_head, n_head).permute(0, 3, 1, 2)


@split_heads.mistake(
    "every head has all C channels: they should share them, C / n_head each, or n_head heads cost "
    "n_head times as much."
)
def heads_with_everything(x, n_head):
    return x[:, None].expand(-1, n_head, -1, -1)


@split_heads.mistake(
    "it has the tokens last: (B, n_head, d, T). Scores are made from (T, d) and (d, T) later; "
    "here each head keeps (T, d): transpose(1, 2) after the view."
)
def heads_tokens_last(x, n_head):
    return split_heads.answer(x, n_head).transpose(-2, -1)
