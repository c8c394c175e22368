"""Options of training: what must not change a result does not, and what cannot be had is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from oft.adapters.protocol import Adapter
from oft.errors import TrainingError
from oft.models.adapted import init_adapter
from oft.models.base import Base
from oft.params import Params
from oft.seeding import generator_for
from oft.settings.training import Training
from oft.training import setup
from oft.training.dataset import TrainingSet
from oft.training.objective import Denoiser, TrainingSource, data_objective
from oft.training.setup import make_accelerator, make_optimizer, prepare_unet


@pytest.fixture
def settings(params: Params) -> Training:
    return params.train.model_copy(update={"batch_size": 4, "mixed_precision": "fp32"})


def gradients(
    base: Base, data: TrainingSet, settings: Training, adapter: Adapter, autocast: bool = False
) -> dict[str, Tensor]:
    """The gradients of one step."""
    trained = adapter.trained_parameters()
    denoiser = Denoiser(base.unet, adapter, settings.attention)
    objective = data_objective(base, denoiser, [TrainingSource(data, "instance")], settings, seed=0)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = iter(objective(0))
        while (loss := next(losses, None)) is not None:
            with torch.autocast("cpu", enabled=False):
                loss.backward()
    found = {
        name: parameter.grad.clone() for name, parameter in trained.items() if parameter.grad is not None
    }
    for parameter in trained.values():
        parameter.grad = None
    return found


@pytest.fixture
def adapter(base: Base, params: Params) -> Adapter:
    """An adapter away from identity, so that each of its parameters has a gradient."""
    loaded = init_adapter(base, params.adapters["oft"], with_condition=True, generator=generator_for(0))
    with torch.no_grad():
        for number, parameter in enumerate(loaded.trained_parameters().values()):
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator_for(number)))
    return loaded


@pytest.mark.parametrize("steps", [2, 4])
def test_micro_batches_have_the_gradient_of_the_whole_batch(
    base: Base, data: TrainingSet, settings: Training, adapter: Adapter, steps: int
) -> None:
    whole = gradients(base, data, settings, adapter)
    settings = settings.model_copy(update={"gradient_accumulation_steps": steps})
    parts = gradients(base, data, settings, adapter)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-6)
    assert any(bool(gradient.any()) for gradient in whole.values())


@pytest.mark.parametrize("autocast", [False, True])
def test_gradient_checkpointing_changes_no_gradient(
    base: Base, data: TrainingSet, settings: Training, adapter: Adapter, autocast: bool
) -> None:
    kept = gradients(base, data, settings, adapter, autocast)
    prepare_unet(base.unet, settings.model_copy(update={"gradient_checkpointing": True}))
    assert base.unet.is_gradient_checkpointing
    again = gradients(base, data, settings, adapter, autocast)
    for name, gradient in kept.items():
        assert torch.equal(again[name], gradient), name


def test_attention_changes_gradients_by_rounding_alone(
    base: Base, data: TrainingSet, settings: Training, adapter: Adapter
) -> None:
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    base.unet.set_attn_processor(AttnProcessor2_0())
    fused = gradients(base, data, settings, adapter)
    base.unet.set_attn_processor(AttnProcessor())
    plain = gradients(base, data, settings, adapter)
    for name, gradient in fused.items():
        torch.testing.assert_close(plain[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_to": ["wandb"]}, r"log_to: wandb needs the package wandb.*\.\[wandb\]"),
        ({"log_to": ["tensorboard"]}, r"log_to: tensorboard needs the package tensorboard"),
        ({"optimizer": "adamw8bit"}, r"optimizer: adamw8bit needs the package bitsandbytes.*\.\[adam8bit\]"),
        ({"attention": "xformers"}, r"attention: xformers needs the package xformers.*\.\[xformers\]"),
    ],
)
def test_what_is_not_installed_is_refused_with_its_extra(
    base: Base,
    settings: Training,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(setup, "find_spec", lambda name: None)
    settings = settings.model_copy(update=change)
    with pytest.raises(TrainingError, match=message):
        if settings.log_to:
            make_accelerator(settings, tmp_path)
        make_optimizer(settings, base.unet.parameters())
        prepare_unet(base.unet, settings)


def test_xformers_that_does_not_work_here_says_why(
    base: Base, settings: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "find_spec", lambda name: object())

    def fail() -> None:
        raise ValueError("built for another torch")

    monkeypatch.setattr(base.unet, "enable_xformers_memory_efficient_attention", fail)
    with pytest.raises(TrainingError, match=r"does not work here .ValueError: built for another torch.*auto"):
        prepare_unet(base.unet, settings.model_copy(update={"attention": "xformers"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixed_precision": "fp16"}, r"mixed_precision: fp16 needs a GPU.*bf16 or fp32"),
        ({"optimizer": "adamw8bit"}, r"optimizer: adamw8bit needs a GPU.*adamw in params"),
        ({"attention": "xformers"}, r"attention: xformers needs a GPU.*auto"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(
    settings: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(setup, "choose_device", lambda: "cpu")
    with pytest.raises(TrainingError, match=message):
        make_accelerator(settings.model_copy(update=change), tmp_path)


def test_adamw_has_the_settings_and_by_default_its_own(settings: Training) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(2))]
    by_default = torch.optim.AdamW(parameters).defaults
    made = make_optimizer(settings, parameters).defaults
    assert {name: made[name] for name in ("betas", "eps")} == {
        "betas": by_default["betas"],
        "eps": by_default["eps"],
    }
    changes = {"adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-6, "scale_lr": True}
    chosen = make_optimizer(settings.model_copy(update=changes), parameters).defaults
    assert chosen["betas"] == (0.8, 0.95) and chosen["eps"] == 1e-6
    assert chosen["lr"] == settings.learning_rate * settings.batch_size
