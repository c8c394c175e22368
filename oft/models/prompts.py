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
    """Return the text encoder's hidden states; longer prompts are cut at its length."""
    tokens = base.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=base.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    hidden_states: Tensor = base.text_encoder(tokens.input_ids.to(base.text_encoder.device))[0]
    return hidden_states
