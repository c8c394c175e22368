"""PEFT's OFT with our kernel: PEFT's exact outputs, gradients and files; rotations computed once a step."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.tuners.oft.layer import OFTRotationModule
from safetensors.torch import load_file
from torch import Tensor, nn

import oft.peft
from oft.adapters.oft.rotation import cayley, orthogonality_error
from oft.adapters.peft import exact
from oft.adapters.peft.exact import ExactConv2d, ExactLinear, ExactOFTModel, ExactRotation

Inputs = tuple[Tensor, Tensor, Tensor]
TARGETS = ["attn1.to_q", "attn2.to_k", "attn1.to_out.0", "ff.net.0.proj"]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    oft.peft.disable()


def make(unet: Any, std: float = 0.02, **options: Any) -> Any:
    """A PEFT model of a copy of the UNet, away from the identity."""
    defaults = {"target_modules": TARGETS, "oft_block_size": 8, "use_cayley_neumann": False}
    chosen: dict[str, Any] = {**defaults, **options}
    return fill(peft.get_peft_model(copy.deepcopy(unet), peft.OFTConfig(**chosen)), std)


def fill(model: Any, std: float) -> Any:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "oft_R" in name:
                value.copy_(torch.randn(value.shape, generator=generator) * std)
    return model


def pair(unet: Any, std: float = 0.02, **options: Any) -> tuple[Any, Any]:
    """PEFT's own model and ours, of the same values."""
    theirs = make(unet, std, **options)
    with oft.peft.enabled():
        return theirs, make(unet, std, **options)


def num_targets(unet: Any) -> int:
    return sum(name.endswith(tuple(TARGETS)) for name, _ in unet.named_modules())


def run(model: Any, inputs: Inputs) -> Tensor:
    sample: Tensor = model(*inputs).sample
    return sample


OPTIONS = [{}, {"block_share": True}, {"oft_block_size": 0, "r": 4}, {"coft": True, "eps": 0.05}]


@pytest.mark.parametrize("std", [0.02, 0.1])
@pytest.mark.parametrize("options", OPTIONS)
def test_outputs_and_gradients_are_those_of_pefts_exact_path(
    unet: Any, unet_inputs: Inputs, std: float, options: dict[str, Any]
) -> None:
    theirs, ours = pair(unet, std, **options)
    assert isinstance(ours.base_model, ExactOFTModel)
    expected, found = run(theirs, unet_inputs), run(ours, unet_inputs)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    assert (expected - run(unet, unet_inputs)).abs().max() > 1e-4
    for model, out in ((theirs, expected), (ours, found)):
        out.square().sum().backward()
        out = run(model, unet_inputs)
        out.square().sum().backward()  # the graph of the rotations is walked a second time
    for (name, one), (_, other) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None and other.grad is not None:
            assert (one.grad - other.grad).norm() < 1e-3 * one.grad.norm(), name


@pytest.mark.parametrize("std", [0.02, 0.1])
@pytest.mark.parametrize("neumann", [False, True])
def test_rotations_are_orthogonal_where_pefts_series_is_not(unet: Any, std: float, neumann: bool) -> None:
    theirs, ours = pair(unet, std, use_cayley_neumann=neumann, oft_block_size=16)
    blocks = [m for m in ours.modules() if isinstance(m, ExactRotation)]
    assert len(blocks) == num_targets(unet)
    assert max(orthogonality_error(block.rotations().detach()) for block in blocks) < 1e-6
    series = [
        module._cayley_batch(module.weight.detach(), 16, True, 5)
        for module in theirs.modules()
        if type(module) is OFTRotationModule
    ]
    assert max(map(orthogonality_error, series)) > 1e-4


def test_with_the_series_outputs_are_what_it_approximates(unet: Any, unet_inputs: Inputs) -> None:
    """Many terms bring PEFT there; the values turn the same way."""
    theirs = make(unet, 0.05, use_cayley_neumann=True, num_cayley_neumann_terms=40)
    with oft.peft.enabled():
        ours = make(unet, 0.05, use_cayley_neumann=True)
    torch.testing.assert_close(run(ours, unet_inputs), run(theirs, unet_inputs), atol=2e-6, rtol=1e-5)


def test_files_go_both_ways(unet: Any, unet_inputs: Inputs, tmp_path: Path) -> None:
    theirs, ours = pair(unet)
    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    files = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("theirs", "ours")]
    assert files[0].keys() == files[1].keys()
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])
    expected = run(theirs, unet_inputs)
    stock = peft.PeftModel.from_pretrained(copy.deepcopy(unet), tmp_path / "ours")
    torch.testing.assert_close(run(stock, unet_inputs), expected, atol=2e-6, rtol=1e-5)
    oft.peft.enable()
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(unet), tmp_path / "theirs", is_trainable=True)
    assert isinstance(loaded.base_model, ExactOFTModel)
    torch.testing.assert_close(run(loaded, unet_inputs), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_training_follows_pefts(unet: Any, unet_inputs: Inputs, fused: bool) -> None:
    """Losses step by step, with two passes a step and an optimizer that writes behind version counters."""
    losses = []
    for model in pair(unet, 0.02):
        trained = [value for value in model.parameters() if value.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.3, fused=fused)
        run_losses = []
        for _ in range(4):
            for _ in range(2):
                loss = run(model, unet_inputs).square().mean()
                loss.backward()
            run_losses.append(loss.item())
            optimizer.step()
            optimizer.zero_grad()
        losses.append(run_losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert abs(losses[0][0] - losses[0][-1]) > 1e-3 * losses[0][0]


def test_rotations_are_computed_in_batches_once_a_step(
    unet: Any, unet_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours = pair(unet)
    computed: list[int] = []

    def counting(skew: Tensor) -> Tensor:
        computed.append(len(skew))
        return cayley(skew)

    monkeypatch.setattr(exact, "cayley", counting)
    run(ours, unet_inputs).square().sum().backward()
    with torch.no_grad():
        run(ours, unet_inputs)
    assert len(computed) == 1 and computed[0] == sum(
        len(value) for name, value in ours.named_parameters() if "oft_R" in name
    )
    with torch.no_grad():
        next(value for name, value in ours.named_parameters() if "oft_R" in name).mul_(2)
    run(ours, unet_inputs)
    assert len(computed) == 2 and computed[1] < computed[0], "only what changed is computed anew"


def test_merging_and_disabling(unet: Any, unet_inputs: Inputs) -> None:
    theirs, ours = pair(unet)
    expected = run(theirs, unet_inputs)
    with ours.disable_adapter():
        torch.testing.assert_close(run(ours, unet_inputs), run(unet, unet_inputs))
    ours.merge_adapter()
    torch.testing.assert_close(run(ours, unet_inputs), expected, atol=1e-5, rtol=1e-5)
    ours.unmerge_adapter()
    torch.testing.assert_close(run(ours, unet_inputs), expected, atol=1e-5, rtol=1e-5)
    merged = ours.merge_and_unload()
    torch.testing.assert_close(run(merged, unet_inputs), expected, atol=1e-5, rtol=1e-5)
    assert not any(isinstance(module, ExactLinear) for module in merged.modules())


def test_several_adapters_are_switched_and_deleted(unet: Any, unet_inputs: Inputs) -> None:
    theirs, ours = pair(unet)
    outputs = []
    for model in (theirs, ours):
        model.add_adapter("second", peft.OFTConfig(target_modules=TARGETS, oft_block_size=16,
                                                   use_cayley_neumann=False))  # fmt: skip
        fill(model, 0.03)
        model.set_adapter("second")
        outputs.append(run(model, unet_inputs))
        model.base_model.set_adapter(["default", "second"])
        outputs.append(run(model, unet_inputs))
        model.set_adapter("default")
        model.delete_adapter("second")
        outputs.append(run(model, unet_inputs))
    for expected, found in zip(outputs[:3], outputs[3:], strict=True):
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    (group,) = {m.group for m in ours.modules() if isinstance(m, ExactRotation)}
    assert group is not None and len(group.members) == num_targets(unet), "the deleted ones have left"


def test_a_copy_computes_its_own(unet: Any, unet_inputs: Inputs) -> None:
    _, ours = pair(unet)
    expected = run(ours, unet_inputs)
    twin = copy.deepcopy(ours)
    torch.testing.assert_close(run(twin, unet_inputs), expected)
    fill(twin, 0.1)
    assert (run(twin, unet_inputs) - expected).abs().max() > 1e-4
    torch.testing.assert_close(run(ours, unet_inputs), expected)


def test_diffusers_add_adapter_takes_it_too(unet: Any, unet_inputs: Inputs) -> None:
    theirs, ours = copy.deepcopy(unet), copy.deepcopy(unet)
    config = peft.OFTConfig(target_modules=TARGETS, oft_block_size=8, use_cayley_neumann=False)
    theirs.add_adapter(config)
    with oft.peft.enabled():
        ours.add_adapter(config)
    assert any(isinstance(module, ExactLinear) for module in ours.modules())
    expected, found = (run(fill(model, 0.05), unet_inputs) for model in (theirs, ours))
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_bases_and_autocast(dtype: torch.dtype, generator: torch.Generator) -> None:
    net = nn.Sequential(nn.Linear(32, 48))
    options: dict[str, Any] = {"target_modules": ["0"], "oft_block_size": 8, "use_cayley_neumann": False}
    x = torch.randn(4, 32, generator=generator)
    for precise in (True, False):
        base = copy.deepcopy(net) if precise else copy.deepcopy(net).to(dtype)
        outputs = []
        for context in (None, oft.peft.enabled()):
            with context or torch.enable_grad():
                model = fill(peft.get_peft_model(copy.deepcopy(base), peft.OFTConfig(**options)), 0.1)
            if precise:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    outputs.append(model(x))
            else:
                outputs.append(model(x.to(dtype)))
        assert outputs[0].dtype == outputs[1].dtype
        torch.testing.assert_close(outputs[1].float(), outputs[0].float(), atol=3e-2, rtol=3e-2)


@pytest.mark.parametrize("size", [1, 3])
def test_convolutions_turn_their_weight(generator: torch.Generator, size: int) -> None:
    """As PEFT merges them; a pointwise one as PEFT's forward pass, too."""
    net = nn.Sequential(nn.Conv2d(8, 6, size, padding=size // 2))
    options: dict[str, Any] = {"target_modules": ["0"], "oft_block_size": 8, "use_cayley_neumann": False}
    theirs = fill(peft.get_peft_model(copy.deepcopy(net), peft.OFTConfig(**options)), 0.2)
    with oft.peft.enabled():
        ours = fill(peft.get_peft_model(copy.deepcopy(net), peft.OFTConfig(**options)), 0.2)
    assert any(isinstance(module, ExactConv2d) for module in ours.modules())
    x = torch.randn(2, 8, 5, 5, generator=generator)
    found = ours(x)
    if size == 1:
        torch.testing.assert_close(found, theirs(x), atol=1e-5, rtol=1e-5)
    theirs.merge_adapter()
    torch.testing.assert_close(found, theirs(x), atol=1e-5, rtol=1e-5)
    found.square().sum().backward()
    assert all(value.grad is not None for name, value in ours.named_parameters() if "oft_R" in name)


def test_disable_gives_peft_its_own_back(unet: Any) -> None:
    own = peft.PEFT_TYPE_TO_TUNER_MAPPING[peft.PeftType.OFT]
    oft.peft.enable()
    with oft.peft.enabled():
        pass
    assert peft.PEFT_TYPE_TO_TUNER_MAPPING[peft.PeftType.OFT] is ExactOFTModel
    kept = make(unet)
    oft.peft.disable()
    assert peft.PEFT_TYPE_TO_TUNER_MAPPING[peft.PeftType.OFT] is own is peft.OFTModel
    assert isinstance(kept.base_model, ExactOFTModel)
