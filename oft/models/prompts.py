"""The hidden states of prompts, by the base's text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from oft.models.base import Base


@torch.no_grad()
def encode_prompts(base: Base, prompts: Sequence[str]) -> Float[Tensor, "n tokens features"]:
    """Return the text encoder's hidden states; longer prompts are cut at its length, see `count_cut`."""
    return encode_prompts_in_graph(base, prompts)


def encode_prompts_in_graph(base: Base, prompts: Sequence[str]) -> Float[Tensor, "n tokens features"]:
    """Return what ``encode_prompts`` does, for a text encoder that is trained."""
    tokens = base.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=base.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    hidden_states: Tensor = base.text_encoder(tokens.input_ids.to(base.text_encoder.device))[0]
    return hidden_states


def count_cut(base: Base, prompts: Sequence[str]) -> int:
    """Return how many prompts have more tokens than the text encoder takes: it does not see their ends."""
    if not prompts:
        return 0
    tokens = base.tokenizer(list(prompts), truncation=False, verbose=False).input_ids
    return sum(len(ids) > base.tokenizer.model_max_length for ids in tokens)


def cut_note(base: Base, num_cut: int, num_prompts: int) -> str:
    """Return what to tell people of prompts that are cut."""
    return (
        f"{num_cut} of {num_prompts} different captions have more than the {base.tokenizer.model_max_length} "
        "tokens that the text encoder takes; it does not see their ends"
    )
