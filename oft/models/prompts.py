"""Prompts as the base's text encoder reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from oft.models.base import Base


@torch.no_grad()
def encode_prompts(base: Base, prompts: Sequence[str]) -> Tensor:
    """Return the text encoder's hidden states [n, tokens, width]; longer prompts are cut at its length."""
    tokens = base.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=base.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    hidden_states: Tensor = base.text_encoder(tokens.input_ids.to(base.text_encoder.device))[0]
    return hidden_states
