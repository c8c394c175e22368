"""Prompts as the UNet reads them: hidden states of the base's text encoders and, in XL, a pooled vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from oft.models.base import pixels_per_latent

if TYPE_CHECKING:
    from oft.models.base import Base


@dataclass(frozen=True)
class PromptEmbeds:
    """Encoded prompts.

    Attributes:
        hidden_states: of the text encoder; of Stable Diffusion XL's two, side by side.
        pooled: what the second of two text encoders makes of the whole prompt; None where there is one.
    """

    hidden_states: Float[Tensor, "n tokens features"]
    pooled: Float[Tensor, "n width"] | None = None

    def __len__(self) -> int:
        return len(self.hidden_states)

    def __getitem__(self, rows: slice | Sequence[int]) -> PromptEmbeds:
        return PromptEmbeds(self.hidden_states[rows], None if self.pooled is None else self.pooled[rows])

    def to(self, device: torch.device | str) -> PromptEmbeds:
        """Return them on a device."""
        pooled = None if self.pooled is None else self.pooled.to(device)
        return PromptEmbeds(self.hidden_states.to(device), pooled)

    def pipeline_arguments(self, negative: PromptEmbeds) -> dict[str, Tensor]:
        """Return what a pipeline of diffusers' takes in place of these prompts and the negative ones."""
        arguments = {"prompt_embeds": self.hidden_states, "negative_prompt_embeds": negative.hidden_states}
        if self.pooled is not None and negative.pooled is not None:
            arguments |= {
                "pooled_prompt_embeds": self.pooled,
                "negative_pooled_prompt_embeds": negative.pooled,
            }
        return arguments


def join_embeds(parts: Sequence[PromptEmbeds]) -> PromptEmbeds:
    """Return the prompts of several, one after the other; all are of one base."""
    pooled = [part.pooled for part in parts if part.pooled is not None]
    states = torch.cat([part.hidden_states for part in parts])
    return PromptEmbeds(states, torch.cat(pooled) if pooled else None)


@torch.no_grad()
def encode_prompts(base: Base, prompts: Sequence[str]) -> PromptEmbeds:
    """Return what the UNet sees of prompts; long ones are cut at the text encoders' length, see `count_cut`.

    Of Stable Diffusion 1 and 2 that is the text encoder's output. Of XL it is the output of the last layer
    but one of each text encoder, unnormalised, and the second's projection of the prompt's end (Podell et al.
    2023, arXiv 2307.01952, section 2.1).
    """
    return encode_prompts_in_graph(base, prompts)


def encode_prompts_in_graph(base: Base, prompts: Sequence[str]) -> PromptEmbeds:
    """Return what ``encode_prompts`` does, for a text encoder that is trained."""
    if base.text_encoder_2 is None:
        return PromptEmbeds(_run_encoder(base.text_encoder, base.tokenizer, prompts)[0])
    outputs = [
        _run_encoder(encoder, tokenizer, prompts, output_hidden_states=True)
        for encoder, tokenizer in zip(base.text_encoders, base.tokenizers, strict=True)
    ]
    states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
    pooled = outputs[-1].text_embeds
    if base.zeroes_empty_prompts:
        given = torch.tensor([bool(prompt) for prompt in prompts], device=states.device)
        states, pooled = states * given[:, None, None], pooled * given[:, None]
    return PromptEmbeds(states, pooled)


def added_cond_kwargs(
    base: Base, embeds: PromptEmbeds, latents: Float[Tensor, "n channels rows columns"]
) -> dict[str, Tensor] | None:
    """Return what XL's UNet is told beside hidden states (diffusers' name for it); None for another UNet.

    Each picture is said to have had the size it has, and to be whole: so are those that diffusers' pipeline
    draws, unless it is told otherwise, and pictures are drawn as they are trained on.
    """
    if embeds.pooled is None:
        return None
    height_px, width_px = (side * pixels_per_latent(base) for side in latents.shape[2:])
    # Original size, top left corner of the crop, target size.
    sizes = torch.tensor([[height_px, width_px, 0, 0, height_px, width_px]], dtype=embeds.pooled.dtype)
    return {"text_embeds": embeds.pooled, "time_ids": sizes.expand(len(latents), -1).to(latents.device)}


def count_cut(base: Base, prompts: Sequence[str]) -> int:
    """Return how many prompts have more tokens than a text encoder takes: it does not see their ends."""
    if not prompts:
        return 0
    cut = torch.zeros(len(prompts), dtype=torch.bool)
    for tokenizer in base.tokenizers:
        tokens = tokenizer(list(prompts), truncation=False, verbose=False).input_ids
        cut |= torch.tensor([len(ids) > tokenizer.model_max_length for ids in tokens])
    return int(cut.sum())


def cut_note(base: Base, num_cut: int, num_prompts: int) -> str:
    """Return what to tell people of prompts that are cut."""
    return (
        f"{num_cut} of {num_prompts} different captions have more than the {base.tokenizer.model_max_length} "
        "tokens that the text encoder takes; it does not see their ends"
    )


def _run_encoder(encoder: Any, tokenizer: Any, prompts: Sequence[str], **options: Any) -> Any:
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return encoder(tokens.input_ids.to(encoder.device), **options)
