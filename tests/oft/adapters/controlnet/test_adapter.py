"""ControlNet: it starts as the base, sees what it is shown, and belongs to one base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from oft.adapters.controlnet.adapter import ControlNetAdapter
from oft.adapters.registry import load_adapter
from oft.errors import CheckpointError, ParamsError
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import Base, load_base
from oft.params import Params
from oft.seeding import generator_for
from oft.storage import read_json, write_json
from tests.adapters import move


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


def inputs(base: Base, samples: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = generator_for("inputs")
    width = base.unet.config.cross_attention_dim
    return (
        torch.randn(samples, base.unet.config.in_channels, 8, 8, generator=generator),
        torch.full((samples,), 500),
        torch.randn(samples, 6, width, generator=generator),
    )


def made(base: Base, params: Params, *, moved: bool) -> ControlNetAdapter:
    adapter = init_adapter(
        base, params.adapters["controlnet"], with_condition=True, generator=generator_for(0)
    )
    assert isinstance(adapter, ControlNetAdapter)
    if moved:
        move(adapter, 1e-2)
    return adapter


@torch.no_grad()
def test_it_starts_as_the_base_whatever_it_is_shown(base: Base, params: Params) -> None:
    expected = base.unet(*inputs(base)).sample
    adapter = made(base, params, moved=False)
    with adapter.conditioned(torch.rand(2, 3, 64, 64)):
        assert torch.equal(base.unet(*inputs(base)).sample, expected)


@torch.no_grad()
def test_images_serve_each_copy_of_the_batch_and_strength_scales_them(base: Base, params: Params) -> None:
    adapter = made(base, params, moved=True)
    images = torch.rand(2, 3, 64, 64, generator=generator_for("images"))
    sample, timestep, states = inputs(base, 4)
    with adapter.conditioned(images):
        both = base.unet(sample, timestep, states).sample
        first = base.unet(sample[:2], timestep[:2], states[:2]).sample
    torch.testing.assert_close(both[:2], first)
    with adapter.conditioned(None):
        without = base.unet(sample, timestep, states).sample
    assert (both - without).abs().max() > 1e-3
    adapter.strength = 0.0
    with adapter.conditioned(images):
        assert torch.equal(base.unet(sample, timestep, states).sample, without)


def test_a_call_without_a_word_on_the_image_is_a_mistake(base: Base, params: Params) -> None:
    adapter = made(base, params, moved=False)
    with pytest.raises(RuntimeError, match="takes a control signal"):
        base.unet(*inputs(base))
    refused = pytest.raises(ParamsError, match="must be as many as the samples")
    with refused, adapter.conditioned(torch.rand(3, 3, 64, 64)):
        base.unet(*inputs(base))


def test_a_subject_gives_it_nothing_to_learn_from(base: Base, params: Params) -> None:
    with pytest.raises(ParamsError, match="learns from conditioning images alone"):
        init_adapter(base, params.adapters["controlnet"], with_condition=False, generator=generator_for(0))


def test_the_copy_of_another_unet_is_refused(
    base: Base, base_folder: Path, params: Params, tmp_path: Path
) -> None:
    save_with_base(tmp_path, made(base, params, moved=True), base)
    config = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", {**config, "cross_attention_dim": 64})
    with pytest.raises(CheckpointError):
        load_adapter(tmp_path, load_base(base_folder).unet)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="a known kind"):
        load_adapter(tmp_path, load_base(base_folder).unet)
