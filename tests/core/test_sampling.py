"""From scores to text: against plain slow versions of the same, and against transformers."""

import inspect
import math
import random
import string
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from nanogpt_lib.checks import check_sampling
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.sampling import generate, probabilities, stream, window_start
from nanogpt_lib.tokenizer import CharTokenizer

SYMBOLS = "\n !,.:;?" + string.ascii_letters
TOKENIZER = CharTokenizer(SYMBOLS)
V = len(SYMBOLS)
SETTINGS = [
    {},
    {"temperature": 1.5, "top_k": None},
    {"temperature": 1.0, "top_k": 5, "top_p": 0.8},
    {"temperature": 0.3, "top_k": None, "top_p": 0.95},
    {"greedy": True},
]


def opinionated(block_size=16, dropout=0.0) -> GPT:
    """A model with large random weights: what it writes depends on what it reads, and where.

    A new model would not do: it hardly cares what it reads, so mistakes would not show.
    """
    torch.manual_seed(1)
    bigrams = GPT(GPTConfig(V, block_size, n_layer=2, n_head=2, n_embd=16, dropout=dropout))
    for weights in bigrams.parameters():
        if weights.dim() == 2:
            weights.data *= 25
    return bigrams.eval()


@pytest.fixture(scope="module")
def bigrams():
    return opinionated()


@pytest.fixture
def quiet():
    """Prompts may be longer than the context here, which is warned about elsewhere."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the prompt has")
        yield


def slow_probabilities(scores, temperature, top_k, top_p):
    """What `probabilities` should give for one row, in plain Python; None where it is too close."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])  # of equals the first leads
    if temperature == 0:
        order, temperature = order[:1], 1.0
    kept = order[:top_k]
    weights = {i: math.exp((scores[i] - scores[order[0]]) / temperature) for i in kept}
    if top_p is not None:
        reached, kept = 0.0, []
        for i, weight in weights.items():
            if reached > 0 and abs(reached - top_p) < 1e-4:
                return None  # float32 may see this one otherwise
            if reached < top_p:
                kept.append(i)
            reached += weight / sum(weights.values())
    total = sum(weights[i] for i in kept)
    return [weights[i] / total if i in kept else 0.0 for i in range(len(scores))]


def slow_text(bigrams, prompt, n, temperature=0.7, top_k=40, top_p=None, greedy=False, seed=0):
    """What `generate` should give, without cache, batch or class: the whole context each time."""
    context, text = TOKENIZER.encode(prompt), prompt
    die = torch.Generator().manual_seed(seed)
    for _ in range(n):
        while len(context) > bigrams.config.block_size:
            context = context[max(1, bigrams.config.block_size // 4) :]  # the oldest quarter
        with torch.no_grad():
            logits, _ = bigrams(torch.tensor([context]))
        chance = slow_probabilities(
            logits[0, -1].tolist(), 0 if greedy else temperature, top_k, top_p
        )
        assert chance is not None  # choose another seed, should this ever happen
        drawn = torch.multinomial(torch.tensor(chance), 1, generator=die).item()
        context.append(drawn)
        text += SYMBOLS[drawn]
    return text


# ---- probabilities ----

rows = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=12)
ties = st.lists(st.sampled_from([-1.0, 0.0, 2.5]), min_size=1, max_size=12)
temperatures = st.floats(0.01, 100)
some_k = st.none() | st.integers(1, 15)
some_p = st.none() | st.floats(0.001, 1)


@given(rows | ties, temperatures | st.just(0), some_k, some_p)
@settings(deadline=None, max_examples=200)
def test_probabilities_equal_a_plain_slow_calculation(scores, temperature, top_k, top_p):
    expected = slow_probabilities(scores, temperature, top_k, top_p)
    assume(expected is not None)
    got = probabilities(torch.tensor(scores), temperature, top_k, top_p)
    torch.testing.assert_close(got, torch.tensor(expected), atol=1e-4, rtol=0)


extreme = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1)


@given(extreme, st.floats(0, 1e300, exclude_max=True), some_k, some_p)
@example([3e38, -3e38], 1e-320, None, None)
@example([0.0, 0.0], 1e-320, None, None)
@example([3e38, -3e38], 1e300, None, None)
@example([0.0] * 65, 1.0, 40, 1e-12)
@example([0.0, 1.0], 1.0, None, 1e-300)
@settings(deadline=None, max_examples=200)
def test_rows_sum_to_1_for_any_scores_and_settings(scores, temperature, top_k, top_p):
    chance = probabilities(torch.tensor(scores), temperature, top_k, top_p)
    assert chance.shape == (len(scores),) and chance.dtype == torch.float32
    assert (chance >= 0).all()
    assert chance.sum().item() == pytest.approx(1, abs=1e-5)
    assert chance[scores.index(max(scores))] == chance.max()


@given(rows | ties, temperatures, st.integers(1, 15))
@settings(deadline=None)
def test_top_k_keeps_at_most_k_and_those_are_the_likeliest(scores, temperature, top_k):
    chance = probabilities(torch.tensor(scores), temperature, top_k)
    kept = chance > 0
    assert 1 <= kept.sum() <= top_k
    out = [score for score, keep in zip(scores, kept, strict=True) if not keep]
    assert all(max(out, default=-99) <= s for s, keep in zip(scores, kept, strict=True) if keep)


@given(rows, st.floats(0.001, 1))
@settings(deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_p(scores, top_p):
    scores = torch.tensor(scores)
    before = probabilities(scores)
    kept = before[probabilities(scores, top_p=top_p) > 0]
    assert kept.sum() >= top_p - 1e-5
    assert kept.sum() - kept.min() < top_p + 1e-5  # without its least likely it would not


def test_top_p_of_1_keeps_everything():
    scores = torch.linspace(0, -80, 500)  # the last ones vanish beside the rounding of the sum
    assert torch.equal(probabilities(scores, top_p=1), probabilities(scores))


def test_of_equal_scores_the_first_ones_are_kept():
    for size in (3, 65, 1000):
        for k in (1, 2, 3):
            kept = probabilities(torch.zeros(size), top_k=k).nonzero().flatten().tolist()
            assert kept == list(range(k))
        assert probabilities(torch.zeros(size), top_p=1.5 / size).nonzero().max() == 1


def test_the_order_is_temperature_then_top_k_then_top_p():
    chances = torch.tensor([0.5, 0.3, 0.2])
    scores = chances.log()
    # Of two symbols the first has 0.625, which is enough; of three it has 0.5, which is not.
    assert probabilities(scores, 1, top_k=2, top_p=0.6).tolist() == [1, 0, 0]
    assert probabilities(scores, 1, top_p=0.6).gt(0).tolist() == [True, True, False]
    # At temperature 1/2 probabilities are squared: 0.25, 0.09, 0.04, and the first has 0.66.
    assert probabilities(scores, 0.5, top_p=0.6).tolist() == [1, 0, 0]


@pytest.mark.parametrize("temperature, top_k, top_p", [(0.7, 8, 0.9), (1.3, 20, 0.5), (1, 50, 1)])
def test_probabilities_equal_those_of_transformers(temperature, top_k, top_p):
    from transformers.generation import logits_process as theirs

    scores = torch.randn(20, V, generator=torch.Generator().manual_seed(0))
    expected = theirs.TemperatureLogitsWarper(float(temperature))(None, scores)
    expected = theirs.TopKLogitsWarper(top_k)(None, expected)
    expected = theirs.TopPLogitsWarper(float(top_p))(None, expected)
    got = probabilities(scores, temperature, top_k, top_p)
    torch.testing.assert_close(got, expected.softmax(-1))


@given(rows)
@settings(deadline=None)
def test_cold_means_the_likeliest_and_hot_means_any(scores):
    scores = torch.tensor(scores)
    best = scores.tolist().index(scores.max())
    greedy = probabilities(scores, 0)
    assert greedy[best] == 1 and greedy.sum() == 1
    assert torch.equal(greedy, probabilities(scores, top_k=1))
    if (scores > scores.max() - 1e-6).sum() == 1:  # a clear winner
        assert torch.equal(probabilities(scores, 1e-30), greedy)
    uniform = torch.full_like(scores, 1 / len(scores))
    torch.testing.assert_close(probabilities(scores, 1e9), uniform, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(V,), (3, V), (2, 3, V), (0, V)])
def test_rows_of_any_shape_are_treated_one_by_one(shape):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    together = probabilities(scores, 0.8, 10, 0.9)
    assert together.shape == shape
    for row, chance in zip(scores.view(-1, V), together.view(-1, V), strict=True):
        assert torch.equal(probabilities(row, 0.8, 10, 0.9), chance)


def test_the_scores_themselves_are_not_changed():
    scores = torch.randn(V)
    before = scores.clone()
    probabilities(scores, 0.7, 5, 0.5)
    assert torch.equal(scores, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused_with_the_likely_cause(bad):
    with pytest.raises(
        ValueError, match=r"not finite: its training diverged .* such as best\.safetensors"
    ):
        probabilities(torch.tensor([0.0, bad]))


def test_draws_follow_the_probabilities(bigrams):
    n = 3000
    texts = generate(bigrams, TOKENIZER, ["A"] * n, 1, temperature=2.0, top_k=8, seed=1)
    with torch.no_grad():
        logits, _ = bigrams(torch.tensor([TOKENIZER.encode("A")]))
    chance = probabilities(logits[0, -1], 2.0, 8)
    counts = torch.zeros(V)
    for text in texts:
        counts[TOKENIZER.encode(text[1])] += 1
    possible = chance > 0
    assert counts[~possible].sum() == 0
    expected = n * chance[possible]
    assert expected.min() > 5  # or the sum below would mean little
    chi_square = ((counts[possible] - expected) ** 2 / expected).sum()
    assert chi_square < 24.3  # 7 degrees of freedom: exceeded by chance once in 1,000 times


# ---- text ----


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("chosen", SETTINGS, ids=str)
@pytest.mark.parametrize("prompt", ["R", "ROMEO: what"])
def test_text_equals_a_plain_slow_calculation_far_beyond_the_context(
    bigrams, prompt, chosen, use_cache
):
    for n in (0, 1, 3, 70):  # the context holds 16
        text = generate(bigrams, TOKENIZER, prompt, n, seed=5, use_cache=use_cache, **chosen)
        assert text == slow_text(bigrams, prompt, n, seed=5, **chosen)
        assert len(text) == len(prompt) + n


@pytest.mark.parametrize("block_size", [1, 2, 3, 4, 5, 7])
def test_cached_text_equals_uncached_text_in_the_smallest_contexts(block_size):
    bigrams = opinionated(block_size)
    cached = generate(bigrams, TOKENIZER, "A", 30, seed=2)
    assert cached == generate(bigrams, TOKENIZER, "A", 30, seed=2, use_cache=False)
    assert cached == slow_text(bigrams, "A", 30, seed=2)


def test_the_text_depends_on_the_context_and_on_places(bigrams):
    # So the comparisons above can fail: see `opinionated`.
    prompt = "abcdefgh"
    text = generate(bigrams, TOKENIZER, prompt, 8, greedy=True)[8:]
    changed = 0
    for i in range(8):
        other = prompt[:i] + "z" + prompt[i + 1 :]
        changed += generate(bigrams, TOKENIZER, other, 8, greedy=True)[8:] != text
    assert changed >= 6
    shifted = generate(bigrams, TOKENIZER, "z" + prompt, 7, greedy=True)[9:]
    assert shifted != text[:7]


def test_greedy_text_equals_that_of_transformers(bigrams):
    from test_model import transformers_twin

    ids = TOKENIZER.encode("ROMEO")
    theirs = transformers_twin(bigrams).generate(
        torch.tensor([ids]), max_new_tokens=11, do_sample=False, pad_token_id=0
    )
    assert generate(bigrams, TOKENIZER, "ROMEO", 11, greedy=True) == TOKENIZER.decode(theirs[0])


def test_the_same_seed_gives_the_same_text_and_another_another(bigrams):
    text = generate(bigrams, TOKENIZER, "A", 40, seed=1)
    assert generate(bigrams, TOKENIZER, "A", 40, seed=1) == text
    assert generate(bigrams, TOKENIZER, "A", 40, seed=2) != text


def test_without_a_seed_each_text_is_another(bigrams):
    torch.manual_seed(0)
    text = generate(bigrams, TOKENIZER, "A", 40)
    torch.manual_seed(0)
    assert generate(bigrams, TOKENIZER, "A", 40) != text


@pytest.mark.parametrize("chosen", [{"greedy": True}, {"temperature": 0}, {"top_k": 1}])
def test_greedy_needs_no_seed(bigrams, chosen):
    expected = generate(bigrams, TOKENIZER, "A", 40, greedy=True, seed=1)
    assert generate(bigrams, TOKENIZER, "A", 40, **chosen) == expected


@pytest.mark.parametrize("chosen", SETTINGS, ids=str)
def test_a_stream_gives_the_same_text_piece_by_piece(bigrams, chosen):
    pieces = list(stream(bigrams, TOKENIZER, "ROMEO", 40, seed=3, **chosen))
    assert len(pieces) == 40
    assert "ROMEO" + "".join(pieces) == generate(bigrams, TOKENIZER, "ROMEO", 40, seed=3, **chosen)


@pytest.mark.parametrize("n", [0, 1, 40])
@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.usefixtures("quiet")
def test_each_text_of_a_batch_is_what_its_prompt_alone_gives(bigrams, n, use_cache):
    lengths = (1, 0, 15, 16, 17, 3, 20, 21, 40, 16)  # the context holds 16
    source = random.Random(0)
    prompts = ["".join(source.choices(SYMBOLS, k=length)) for length in lengths]
    together = generate(bigrams, TOKENIZER, prompts, n, seed=7, use_cache=use_cache)
    for i, (prompt, text) in enumerate(zip(prompts, together, strict=True)):
        assert text == generate(bigrams, TOKENIZER, prompt, n, seed=7 + i, use_cache=use_cache)


def test_a_list_gives_a_list_and_a_text_a_text(bigrams):
    text = generate(bigrams, TOKENIZER, "A", 5, seed=1)
    assert isinstance(text, str)
    assert generate(bigrams, TOKENIZER, ["A"], 5, seed=1) == [text]
    assert generate(bigrams, TOKENIZER, ("A",), 5, seed=1) == [text]
    assert generate(bigrams, TOKENIZER, [], 5, seed=1) == []


def test_an_empty_prompt_starts_from_a_newline(bigrams):
    expected = generate(bigrams, TOKENIZER, "\n", 20, seed=1)[1:]
    assert generate(bigrams, TOKENIZER, "", 20, seed=1) == expected
    assert generate(bigrams, TOKENIZER, "éü", 20, seed=1, unknown="drop") == "éü" + expected


def test_an_empty_prompt_works_where_there_is_no_newline():
    tokenizer = CharTokenizer("".join(chr(ord("A") + i) for i in range(V)))
    assert len(generate(opinionated(), tokenizer, "", 20)) == 20


@given(st.integers(1, 5000), st.integers(1, 300))
@settings(deadline=None)
def test_the_window_is_never_too_long_and_never_forgets_more_than_a_quarter(length, block_size):
    seen = length - window_start(length, block_size)
    hop = max(1, block_size // 4)
    assert seen <= block_size
    assert seen > min(length - 1, block_size - hop)
    assert window_start(length, block_size) % hop == 0


@pytest.mark.parametrize("length, seen", [(17, 13), (20, 16), (40, 16), (41, 13)])
def test_a_prompt_longer_than_the_context_is_said_and_its_end_is_read(bigrams, length, seen):
    prompt = (SYMBOLS * 2)[:length]
    message = f"the prompt has {length} tokens and the context 16: the model sees only the last "
    with pytest.warns(UserWarning, match=f"{message}{seen}$") as caught:
        text = generate(bigrams, TOKENIZER, prompt, 10, seed=1)
    assert text == slow_text(bigrams, prompt, 10, seed=1)
    assert caught[0].filename == __file__  # it points to the line that asked
    with pytest.warns(UserWarning, match=message) as caught:
        stream(bigrams, TOKENIZER, prompt, 10)
    assert caught[0].filename == __file__


def test_unknown_characters_are_refused_by_name_or_dropped_or_replaced(bigrams):
    with pytest.raises(ValueError, match=r"never seen 'é' \(U\+00E9\).*unknown=\"drop\""):
        generate(bigrams, TOKENIZER, "café", 5)
    for unknown, known in (("drop", "caf"), ("replace", "caf ")):
        text = generate(bigrams, TOKENIZER, "café", 5, seed=1, unknown=unknown)
        assert text == "café" + generate(bigrams, TOKENIZER, known, 5, seed=1)[len(known) :]
    with pytest.raises(ValueError, match='unknown must be "error", "drop" or "replace"'):
        generate(bigrams, TOKENIZER, "a", 5, unknown="ignore")


def test_a_tokenizer_of_another_model_is_refused_with_both_sizes(bigrams):
    message = f"has 3 symbols and the model {V}: they do not belong together. `load_model` gives"
    with pytest.raises(ValueError, match=message):
        generate(bigrams, CharTokenizer("abc"), "a", 5)


@pytest.mark.parametrize("prompt", [None, 3, b"A", ["A", None], [["A"]]])
def test_a_prompt_that_is_no_text_is_refused(bigrams, prompt):
    with pytest.raises(ValueError, match="a prompt must be a text, not"):
        generate(bigrams, TOKENIZER, prompt, 5)


def test_a_stream_takes_one_prompt_and_says_who_takes_more(bigrams):
    with pytest.raises(ValueError, match=r"must be a text, not \['A', 'B'\]; `generate` takes a"):
        stream(bigrams, TOKENIZER, ["A", "B"], 5)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_diverged_model_is_named_as_such_and_left_as_it_was(broken):
    bigrams = opinionated().train()
    bigrams.transformer.wte.weight.data[:] = broken
    with pytest.raises(ValueError, match="its training diverged"):
        generate(bigrams, TOKENIZER, "A", 5)
    assert bigrams.training


# ---- settings ----

NO_NUMBERS = [math.nan, "1", [1], True, torch.tensor(1.0)]
SILLY = [
    *[("temperature", value) for value in (-1, -0.1, math.inf, None, *NO_NUMBERS)],
    *[("top_k", value) for value in (0, -1, 1.5, 3.0, math.inf, *NO_NUMBERS)],
    *[("top_p", value) for value in (0, 0.0, -0.5, 1.1, math.inf, *NO_NUMBERS)],
    *[("seed", value) for value in (1.5, 3.0, 2**63, -(2**63), math.inf, *NO_NUMBERS)],
    *[("max_new_tokens", value) for value in (-1, 1.5, 3.0, None, math.inf, *NO_NUMBERS)],
]


@pytest.mark.parametrize("name, value", SILLY, ids=str)
def test_silly_settings_are_refused_at_once_by_name_and_value(bigrams, name, value):
    for write in (generate, stream):  # a stream, too, before its first token is asked for
        with pytest.raises(ValueError, match=rf"^{name} must .*(number|lie above 0)") as error:
            write(bigrams, TOKENIZER, "A", **{name: value})
        assert repr(value) in str(error.value)


@pytest.mark.parametrize("name, value", SILLY, ids=str)
def test_probabilities_refuses_the_same(name, value):
    if name in inspect.signature(probabilities).parameters:
        with pytest.raises(ValueError, match=f"^{name} must "):
            probabilities(torch.zeros(V), **{name: value})


@pytest.mark.parametrize("write", [generate, stream])
def test_a_misspelt_setting_is_refused_and_the_signature_names_all(bigrams, write):
    named = inspect.signature(write).parameters
    assert [*named][4:] == [
        "temperature",
        "top_k",
        "top_p",
        "greedy",
        "seed",
        "unknown",
        "use_cache",
    ]
    message = "unexpected keyword argument 'temprature'"
    with pytest.raises(TypeError, match=message):
        write(bigrams, TOKENIZER, "A", 5, temprature=1)


def test_numbers_of_numpy_are_numbers(bigrams):
    expected = generate(bigrams, TOKENIZER, "A", 9, temperature=0.5, top_k=7, top_p=0.75, seed=3)
    for real in (np.float64, np.float32):
        for whole in (np.int64, np.int32, np.uint8):
            text = generate(
                bigrams,
                TOKENIZER,
                "A",
                whole(9),
                temperature=real(0.5),
                top_k=whole(7),
                top_p=real(0.75),
                seed=whole(3),
            )
            assert text == expected


def test_a_top_k_above_the_vocabulary_is_said_and_takes_all(bigrams):
    expected = generate(bigrams, TOKENIZER, "A", 20, top_k=None, seed=1)
    with pytest.warns(UserWarning, match=f"top_k is 1000, but there are only {V} symbols") as seen:
        assert generate(bigrams, TOKENIZER, "A", 20, top_k=1000, seed=1) == expected
    assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="taking all"):
        assert generate(bigrams, TOKENIZER, "A", 20, top_k=10**30, seed=1) == expected


def test_the_default_top_k_is_nothing_to_warn_about(recwarn):
    few = GPT(GPTConfig(vocab_size=3, block_size=8, n_layer=1, n_head=1, n_embd=8))
    assert len(generate(few, CharTokenizer("abc"), "a", 10)) == 11
    assert not recwarn.list


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, 1 - 2**63])
def test_any_seed_of_64_bits_is_accepted_also_for_a_batch(bigrams, seed):
    assert len(generate(bigrams, TOKENIZER, ["A", "B"], 3, seed=seed)) == 2


def test_the_edges_of_what_makes_sense_are_accepted():
    check_sampling(temperature=0, top_k=1, top_p=1)
    check_sampling(temperature=1e300, top_k=10**9, top_p=1e-300)
    check_sampling(temperature=0.0, top_k=None, top_p=None)


# ---- what sampling leaves alone ----


@pytest.mark.parametrize("seed", [None, 1])
def test_the_random_numbers_of_others_are_not_touched(bigrams, seed):
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    generate(bigrams, TOKENIZER, "A", 20, seed=seed)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


@pytest.mark.parametrize("training", [True, False])
def test_sampling_is_without_dropout_and_the_model_stays_in_its_mode(training):
    bigrams = opinionated(dropout=0.5)
    expected = generate(bigrams, TOKENIZER, "A", 30, seed=1)
    bigrams.train(training)
    assert generate(bigrams, TOKENIZER, "A", 30, seed=1) == expected
    assert bigrams.training == training
    pieces = []
    for piece in stream(bigrams, TOKENIZER, "A", 30, seed=1):
        pieces.append(piece)
        assert bigrams.training == training  # also between two tokens
        assert torch.is_grad_enabled()
    assert "A" + "".join(pieces) == expected


def test_a_stream_left_halfway_leaves_the_model_as_it_was():
    bigrams = opinionated(dropout=0.5).train()
    pieces = stream(bigrams, TOKENIZER, "A", 30)
    next(pieces)
    assert bigrams.training and bigrams.transformer.h[0].attn.training
    pieces.close()
    assert bigrams.training
    assert all(weights.grad is None for weights in bigrams.parameters())


def test_two_streams_side_by_side_do_not_disturb_each_other():
    bigrams = opinionated(dropout=0.5).train()
    short = generate(bigrams, TOKENIZER, "A", 10, seed=1)
    long = generate(bigrams, TOKENIZER, "B", 30, seed=2)
    one, two = (
        stream(bigrams, TOKENIZER, "A", 10, seed=1),
        stream(bigrams, TOKENIZER, "B", 30, seed=2),
    )
    text_one, text_two = "A", "B"
    for _ in range(30):
        text_one += next(one, "")
        text_two += next(two)
    assert (text_one, text_two) == (short, long)


def test_where_memory_runs_out_fewer_texts_are_written_side_by_side():
    model = opinionated()
    prompts = ["A", "AB", "B", "ABA", "BB"]
    expected = generate(model, TOKENIZER, prompts, 9, seed=3)
    forward, most = model.forward, 2

    def hungry(idx, targets=None, caches=None):
        if len(idx) > most:
            raise RuntimeError("could not create a primitive")
        return forward(idx, targets, caches)

    model.forward = hungry
    assert generate(model, TOKENIZER, prompts, 9, seed=3) == expected
