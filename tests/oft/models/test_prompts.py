"""Prompts encoded: what diffusers' pipeline of each kind of base makes of them, and what of no prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from oft.models.base import Base, load_base, make_pipeline
from oft.models.prompts import PromptEmbeds, added_cond_kwargs, count_cut, encode_prompts, join_embeds

PROMPTS = ["a photo of a cat!", "Ein Käfer, 日本語 🙂", "house " * 100]


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


@pytest.fixture
def xl(xl_folder: Path) -> Base:
    return load_base(xl_folder)


def stock(base: Base, prompts: list[str], **options: Any) -> Any:
    return make_pipeline(base).encode_prompt(prompts, device="cpu", num_images_per_prompt=1, **options)


def test_prompts_are_encoded_as_by_stable_diffusion(base: Base) -> None:
    prompts = ["a red house", "", "a tree on the grass"]
    positive, negative = stock(base, prompts, do_classifier_free_guidance=True)
    embeds = encode_prompts(base, prompts)
    assert embeds.pooled is None and torch.equal(embeds.hidden_states, positive)
    # Here no prompt is the empty prompt.
    assert torch.equal(encode_prompts(base, [""]).hidden_states, negative[:1])


def test_prompts_are_encoded_as_by_stable_diffusion_xl(xl: Base) -> None:
    positive, negative, pooled, negative_pooled = stock(xl, PROMPTS, do_classifier_free_guidance=True)
    embeds, none = encode_prompts(xl, PROMPTS), encode_prompts(xl, [""] * 3)
    assert embeds.pooled is not None and none.pooled is not None
    assert torch.equal(embeds.hidden_states, positive) and torch.equal(embeds.pooled, pooled)
    assert torch.equal(none.hidden_states, negative) and torch.equal(none.pooled, negative_pooled)
    assert not negative.any() and not negative_pooled.any()
    assert embeds.hidden_states.shape == (3, 77, 16 + 24) and embeds.pooled.shape == (3, 20)


def test_an_xl_that_does_not_zero_empty_prompts_encodes_them(xl: Base) -> None:
    plain = replace(xl, zeroes_empty_prompts=False)
    _, negative, _, negative_pooled = stock(plain, ["a cat"], do_classifier_free_guidance=True)
    none = encode_prompts(plain, [""])
    assert none.pooled is not None and negative.any()
    assert torch.equal(none.hidden_states, negative) and torch.equal(none.pooled, negative_pooled)


def test_of_xl_the_last_layer_but_one_is_taken_unnormalised_and_the_end_of_the_prompt_projected(
    xl: Base,
) -> None:
    """Arithmetic of the paper's words on what the layers give, without transformers' outputs."""
    assert xl.text_encoder_2 is not None and xl.tokenizer_2 is not None
    seen: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    second = xl.text_encoder_2.text_model
    layers = (xl.text_encoder.encoder.layers[-2], second.encoder.layers[-2], second.encoder.layers[-1])
    handles = [layer.register_forward_hook(keep) for layer in layers]
    embeds = encode_prompts(xl, ["a cat"])
    for handle in handles:
        handle.remove()
    assert torch.equal(embeds.hidden_states, torch.cat(seen[:2], dim=-1))
    end = xl.tokenizer_2("a cat").input_ids.index(49407)
    expected = second.final_layer_norm(seen[2])[:, end] @ xl.text_encoder_2.text_projection.weight.T
    assert embeds.pooled is not None
    torch.testing.assert_close(embeds.pooled, expected)


def test_the_unet_of_xl_is_told_the_pictures_own_size_and_that_it_is_whole(xl: Base, base: Base) -> None:
    latents = torch.zeros(2, 4, 8, 12)
    added = added_cond_kwargs(xl, encode_prompts(xl, ["a", "b"]), latents)
    assert added is not None and added["text_embeds"].shape == (2, 20)
    assert added["time_ids"].tolist() == [[64.0, 96.0, 0.0, 0.0, 64.0, 96.0]] * 2
    stock_ids = make_pipeline(xl)._get_add_time_ids(
        (64, 96), (0, 0), (64, 96), dtype=torch.float32, text_encoder_projection_dim=20
    )
    assert torch.equal(added["time_ids"][:1], stock_ids)
    assert added_cond_kwargs(base, encode_prompts(base, ["a", "b"]), latents) is None


def test_rows_are_taken_and_joined_with_what_belongs_to_them() -> None:
    embeds = PromptEmbeds(torch.arange(12.0).reshape(3, 2, 2), torch.arange(6.0).reshape(3, 2))
    again = join_embeds([embeds[[2]], embeds[:1]])
    assert again.pooled is not None and embeds.pooled is not None and len(again) == 2
    assert torch.equal(again.hidden_states, embeds.hidden_states[[2, 0]])
    assert torch.equal(again.pooled, embeds.pooled[[2, 0]])


def test_a_prompt_that_either_text_encoder_cuts_is_counted_once(xl: Base) -> None:
    # "!!!" is one token for the first tokenizer and three for the second.
    assert count_cut(xl, ["a cat", "wow " * 60 + "!!! " * 6, "house " * 100]) == 2
    assert count_cut(replace(xl, tokenizer_2=None), ["a cat", "wow " * 60 + "!!! " * 6, "house " * 100]) == 1
    assert count_cut(xl, []) == 0
