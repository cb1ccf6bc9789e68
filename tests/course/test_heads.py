"""Counting what heads look at: on weights that are known."""

import pytest
import torch

from nanogpt_lib import CharTokenizer, head_shares


class Known:
    """Stands in for a model: head 0 looks one back, head 1 at everything alike."""

    def attention(self, ids):
        B, T = ids.shape
        back = torch.eye(T).roll(-1, dims=1)
        back[0] = torch.eye(T)[0]  # the first token has nobody before it
        even = torch.ones(T, T).tril()
        both = torch.stack([back, even / even.sum(dim=1, keepdim=True)])  # (heads, T, T)
        return both[None, None].expand(1, B, -1, -1, -1)  # (n_layer, B, nh, T, T)


def test_a_head_that_looks_one_back_and_one_that_looks_everywhere_are_found():
    tokenizer = CharTokenizer(" ab")
    ids = torch.tensor([tokenizer.encode("ab b")])
    found = head_shares(Known(), tokenizer, ids, {"spaces": " "})
    assert found["one back"].tolist() == pytest.approx([1, (1 / 2 + 1 / 3 + 1 / 4) / 3])
    # Only the last two places see the space. The last one comes right after it.
    assert found["spaces"].tolist() == pytest.approx([0.5, (1 / 3 + 1 / 4) / 2])


def test_a_character_that_nobody_knows_is_named():
    tokenizer = CharTokenizer(" ab")
    with pytest.raises(ValueError, match="never seen 'é'"):
        head_shares(Known(), tokenizer, torch.zeros(1, 4).long(), {"accents": "é"})
