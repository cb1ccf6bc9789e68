"""The modern GPT, its optimisers, and the rules of the race."""

import random
from dataclasses import fields, replace

import pytest
import torch

from nanogpt_lib.beyond.speed import race, recipes
from nanogpt_lib.beyond.speed.recipes import RECIPES, Recipe
from nanogpt_lib.corpus import split
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.modern import model as modern
from nanogpt_lib.modern import optimisers
from nanogpt_lib.modern.model import ModernConfig, ModernGPT
from nanogpt_lib.modern.optimisers import Adam, Muon
from nanogpt_lib.runs.presets import PRESETS

SWITCHES = {f.name: True for f in fields(ModernConfig) if f.default is False} | {
    "grams": (4356, 97)
}
SMALL = ModernConfig(block_size=16, n_layer=2, n_head=2, n_embd=16)
MODERN = replace(SMALL, **SWITCHES)
QUICK = Recipe("a trial", MODERN, steps=5, muon_lr=0.02)


def filled(config: ModernConfig, seed=0) -> ModernGPT:
    """A model with random numbers everywhere: a new one would hide mistakes behind its zeros."""
    torch.manual_seed(seed)
    model = ModernGPT(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_with_every_switch_off_it_is_the_gpt_of_the_course():
    torch.manual_seed(0)
    plain = GPT(GPTConfig(block_size=16, n_layer=2, n_head=2, n_embd=16, bias=False))
    for weight in plain.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    ours = ModernGPT(SMALL)
    ours.load_state_dict(plain.state_dict())
    idx = torch.randint(65, (3, 16))
    torch.testing.assert_close(ours(idx, idx), plain(idx, idx))


@pytest.mark.parametrize("switch", [*SWITCHES, "all of them"])
def test_no_switch_lets_a_token_see_the_future(switch):
    config = MODERN if switch == "all of them" else replace(SMALL, **{switch: SWITCHES[switch]})
    model = filled(config)
    idx = torch.randint(65, (2, 16))
    changed = idx.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 65
    before, after = model(idx)[0], model(changed)[0]
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_the_last_characters_are_digits_of_one_number():
    model = ModernGPT(replace(SMALL, vocab_size=9, grams=(100, 1000)))
    pairs, triples = model.last_characters(torch.tensor([[3, 1, 4, 1]]))
    assert pairs.tolist() == [[93, 31, 14, 41]]  # in base 10; 9 stands before the beginning
    assert triples.tolist() == [[993, 931, 314, 141]]


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_changes_what_the_model_computes(switch):
    idx = torch.randint(65, (2, 16))
    config = replace(SMALL, **{switch: SWITCHES[switch]})
    torch.testing.assert_close(filled(config)(idx)[0], filled(config)(idx)[0])
    assert not torch.allclose(filled(config)(idx)[0], filled(SMALL)(idx)[0])


def test_turned_queries_and_keys_meet_by_their_distance_alone():
    turns = modern.rotations(32, 8)
    q, k = torch.randn(8), torch.randn(8)
    queries = modern.rotate(q.expand(1, 32, 1, 8), turns)[0, :, 0]  # q at each position
    keys = modern.rotate(k.expand(1, 32, 1, 8), turns)[0, :, 0]
    scores = queries @ keys.T  # (32, 32)
    for distance in (0, 1, 7, 20):
        same = scores.diagonal(-distance)
        torch.testing.assert_close(same, same[0].expand_as(same), rtol=0, atol=1e-4)
    assert scores[:, 0].std() > 0.1  # and the distance does matter


def test_turning_keeps_lengths():
    x = torch.randn(2, 32, 3, 8)
    turned = modern.rotate(x, modern.rotations(32, 8))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_orthogonalising_keeps_the_directions_and_evens_out_their_strengths():
    torch.manual_seed(0)
    strengths = torch.logspace(0, -1.5, 24)  # from 1 down to a thirtieth
    u, _ = torch.linalg.qr(torch.randn(3, 24, 24))
    v, _ = torch.linalg.qr(torch.randn(3, 24, 24))
    matrix = u * strengths @ v.mT
    found = u.mT @ optimisers.orthogonalise(matrix) @ v  # what became of each direction
    diagonal = found.diagonal(dim1=-2, dim2=-1)
    assert diagonal.min() > 0.6 and diagonal.max() < 1.25
    torch.testing.assert_close(found, torch.diag_embed(diagonal), rtol=0, atol=1e-3)


def test_a_step_of_muon_is_as_long_for_a_weak_gradient():
    moves = []
    for strength in (1.0, 1e-3):
        torch.manual_seed(0)
        matrix = torch.nn.Parameter(torch.zeros(32, 8))
        matrix.grad = strength * torch.randn(32, 8)
        Muon([matrix]).step(0.1)
        moves.append(matrix.detach())
    assert moves[0].norm() > 0.1
    torch.testing.assert_close(moves[0], moves[1], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("shape", [(8, 8), (32, 8), (8, 24)])
def test_a_matrix_cut_into_squares_comes_back_whole(shape):
    matrix = torch.randn(shape)
    squares = optimisers.to_squares(matrix)
    assert squares.shape == (matrix.numel() // 64, 8, 8)
    assert torch.equal(squares[0], matrix[:8, :8])
    assert torch.equal(optimisers.from_squares(squares, shape), matrix)


def test_adam_steps_as_pytorchs_does():
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(5, 4))
    theirs = torch.nn.Parameter(ours.detach().clone())
    adam = Adam([ours], 0.8, 0.95)
    reference = torch.optim.Adam([theirs], lr=0.02, betas=(0.8, 0.95), eps=1e-10)
    for _ in range(10):
        ours.grad = torch.randn(5, 4)
        theirs.grad = ours.grad.clone()
        adam.step(0.02)
        reference.step()
    torch.testing.assert_close(ours, theirs)


def test_each_weight_has_one_optimiser():
    model = ModernGPT(MODERN)
    taken = [id(p) for optimiser, _ in recipes.optimisers(model, QUICK) for p in optimiser.params]
    assert sorted(taken) == sorted(id(p) for p in model.parameters())


def test_the_rate_climbs_and_then_falls_to_its_end():
    recipe = replace(QUICK, steps=100, warmup=10, end=0.1)
    for linear in (False, True):
        rates = [recipes.height(s, replace(recipe, linear=linear)) for s in range(101)]
        assert rates[:9] == sorted(rates[:9]) and rates[9:] == sorted(rates[9:], reverse=True)
        assert rates[100] == pytest.approx(0.1)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_keeps_to_the_most_parameters(name):
    most = GPT(PRESETS["laptop"].model).num_params() if name == "laptop" else recipes.MOST_PARAMS
    assert ModernGPT(RECIPES[name].model).num_params() <= most


def test_training_learns_and_the_seed_repeats_it(text):
    short = text[:100_000]
    recipe = replace(QUICK, steps=60)
    first, again = race.run(recipe, short), race.run(recipe, short)
    other = race.run(replace(recipe, seed=2), short)
    assert first.val_loss < 3.0  # from 4.17; the frequencies of the characters alone give 3.3
    assert torch.equal(weights(first.model), weights(again.model))
    assert not torch.equal(weights(first.model), weights(other.model))


def test_no_weight_depends_on_the_validation_text(text):
    short = text[:50_000]
    train_text, val_text = split(short)
    letters = list(val_text)
    random.Random(0).shuffle(letters)
    seen = race.run(QUICK, short)
    replaced = race.run(QUICK, train_text + "".join(letters))
    assert torch.equal(weights(seen.model), weights(replaced.model))
    assert seen.val_loss != replaced.val_loss  # it was another text


def test_a_model_without_attention_is_told_from_a_gpt():
    assert race.uses_its_context(filled(MODERN))
    assert not race.uses_its_context(filled(replace(MODERN, n_layer=0)))


def test_a_width_that_cannot_be_shared_or_turned_is_named():
    with pytest.raises(ValueError, match=r"n_embd \(10\) must be a multiple of n_head \(4\)"):
        ModernConfig(n_embd=10)
    with pytest.raises(ValueError, match="with rope"):
        ModernConfig(n_embd=12, n_head=4, rope=True)
