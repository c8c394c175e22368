"""A step is a whole training step, or a forward pass that leaves no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmarks.architectures import Architecture, make_frozen
from benchmarks.cases import Case
from benchmarks.step import Step
from benchmarks.variants import FROZEN, Variant
from tests.benchmarks.conftest import CPU
from tests.oft.conftest import tiny_unet


def tiny_architecture() -> Architecture:
    def make() -> nn.Module:
        unet: nn.Module = tiny_unet(cross_attention_dim=32, attention_head_dim=4)
        return unet

    def forward(unet: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        latents, context, timesteps = inputs
        predicted: Tensor = unet(latents, timesteps, context).sample
        return predicted

    return Architecture("tiny-unet", make, forward, takes_timesteps=True)


def parameters_after_a_step(case: Case, variant: Variant, clip_norm: float = 0.0) -> list[Tensor]:
    step = Step(case, variant, make_frozen(case.architecture, CPU), clip_norm)
    step()
    return [parameter.detach() for parameter in step.trained]


def gradients(
    case: Case, variant: Variant, monkeypatch: pytest.MonkeyPatch, clip_norm: float = 0.0
) -> list[Tensor]:
    step = Step(case, variant, make_frozen(case.architecture, CPU), clip_norm)
    assert step.optimizer is not None
    monkeypatch.setattr(step.optimizer, "zero_grad", lambda set_to_none: None)
    step()
    return [parameter.grad for parameter in step.trained if parameter.grad is not None]


@pytest.fixture
def unet_case() -> Case:
    return Case("unet", "a tiny UNet", tiny_architecture(), (1, 4, 8, 8), (1, 5, 32))


def test_a_step_leaves_no_gradient(tiny_case: Case, frozen: nn.Module, variants: dict[str, Variant]) -> None:
    for name in ("frozen", "oft-r4", "lora-r16"):
        step = Step(tiny_case, variants[name], frozen, clip_norm=1.0)
        step()
        assert all(parameter.grad is None for parameter in step.network.parameters())
        assert all(inputs[0].grad is None for inputs, _ in step.micro_batches)


def test_the_frozen_base_goes_backward_to_its_input(
    unet_case: Case, tiny_case: Case, variants: dict[str, Variant]
) -> None:
    def wants_input_gradient(case: Case, variant: Variant) -> bool:
        step = Step(case, variant, make_frozen(case.architecture, CPU), clip_norm=0.0)
        return step.micro_batches[0][0][0].requires_grad

    assert wants_input_gradient(unet_case, FROZEN)
    assert not wants_input_gradient(unet_case, variants["oft-r4"])
    assert wants_input_gradient(tiny_case, variants["oft-r4"])


@pytest.mark.parametrize("name", ["oft-r4", "peft-oft-r4", "lora-r16"])
def test_checkpointing_changes_no_result(unet_case: Case, variants: dict[str, Variant], name: str) -> None:
    plain = parameters_after_a_step(unet_case, variants[name])
    checkpointed = parameters_after_a_step(replace(unet_case, checkpointing=True), variants[name])
    torch.testing.assert_close(plain, checkpointed)


def test_accumulation_is_the_mean_over_micro_batches(
    tiny_case: Case, variants: dict[str, Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step(
        replace(tiny_case, micro_batches=3),
        variants["oft-r4"],
        make_frozen(tiny_case.architecture, CPU),
        clip_norm=0.0,
    )
    assert len({float(inputs[0].detach().sum()) for inputs, _ in step.micro_batches}) == 3
    alone = []
    for batch in step.micro_batches:
        single = Step(tiny_case, variants["oft-r4"], make_frozen(tiny_case.architecture, CPU), clip_norm=0.0)
        single.micro_batches = [batch]
        assert single.optimizer is not None
        monkeypatch.setattr(single.optimizer, "zero_grad", lambda set_to_none: None)
        single()
        alone.append([parameter.grad for parameter in single.trained])
    assert step.optimizer is not None
    monkeypatch.setattr(step.optimizer, "zero_grad", lambda set_to_none: None)
    step()
    for index, parameter in enumerate(step.trained):
        mean = torch.stack([grads[index] for grads in alone if grads[index] is not None]).mean(0)  # type: ignore[misc]
        torch.testing.assert_close(parameter.grad, mean)


def test_the_gradient_is_clipped(
    tiny_case: Case, variants: dict[str, Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 1e-6
    norm = torch.nn.utils.get_total_norm
    assert norm(gradients(tiny_case, variants["oft-r4"], monkeypatch)) > bound
    assert norm(gradients(tiny_case, variants["oft-r4"], monkeypatch, clip_norm=bound)) <= bound * 1.01


def test_inference_trains_nothing(tiny_case: Case, frozen: nn.Module, variants: dict[str, Variant]) -> None:
    step = Step(replace(tiny_case, training=False), variants["oft-r4"], frozen, clip_norm=1.0)
    before = [parameter.detach().clone() for parameter in step.trained]
    step()
    assert step.optimizer is None and not step.network.training
    torch.testing.assert_close([parameter.detach() for parameter in step.trained], before, atol=0.0, rtol=0.0)


@pytest.mark.parametrize("training", [True, False])
def test_what_is_not_finite_is_no_measurement(
    tiny_case: Case, frozen: nn.Module, variants: dict[str, Variant], training: bool
) -> None:
    step = Step(replace(tiny_case, training=training), variants["lora-r16"], frozen, clip_norm=0.0)
    step()
    step.check_finite()
    with torch.no_grad():
        step.trained[0].fill_(torch.nan)
    step()
    with pytest.raises(FloatingPointError):
        step.check_finite()


def test_an_output_that_is_not_finite_is_no_measurement(tiny_case: Case, frozen: nn.Module) -> None:
    step = Step(replace(tiny_case, training=False), FROZEN, frozen, clip_norm=0.0)
    step.micro_batches[0][0][0].fill_(torch.inf)
    step()
    with pytest.raises(FloatingPointError, match="result"):
        step.check_finite()
