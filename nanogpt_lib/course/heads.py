"""What the heads of a trained model look at, counted over many places of a text."""

from collections.abc import Mapping

import torch
from torch import Tensor


def head_shares(model, tokenizer, ids: Tensor, characters: Mapping[str, str]) -> dict[str, Tensor]:
    """How much of its weight each head puts on the token before, and on some characters.

    ids: int64 (B, T), on the model's device. characters: {what to call it: the character}. Returns
    a mean for each head, layer by layer, float (n_layer * n_head,), under "one back" and under each
    of these names. Only places count from which such a character can be seen. Raises ValueError if
    the tokenizer does not know a character.
    """
    weights = model.attention(ids).transpose(1, 2).flatten(0, 1)  # (heads, B, T, T)
    past = torch.ones(weights.shape[-2:], dtype=torch.bool, device=ids.device).tril()  # (T, T)
    one_back = past.tril(-1).triu(-1)  # (T, T), the line beside the diagonal
    there = {"one back": one_back.expand(len(ids), -1, -1)}  # (B, T, T)
    for name, character in characters.items():
        (known,) = tokenizer.encode(character)
        there[name] = (ids == known)[:, None, :] & past  # (B, T, T)
    share = {name: (weights * at).sum(dim=-1) for name, at in there.items()}  # (heads, B, T)
    return {name: share[name][:, at.any(dim=-1)].mean(dim=-1) for name, at in there.items()}
