"""Rotations for kohya's and OneTrainer's series: their forward pass is ours within the stated error."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import inject_magnitude
from oft.adapters.oft.module import inject_oft
from oft.adapters.oft.rotation import cayley, skew_from_packed
from oft.adapters.oft.saving import save_adapter
from oft.adapters.targets import UNET_CONTROL_TARGETS
from oft.errors import ParamsError
from oft.exchange import export_adapter
from oft.exchange.bases import identify_base
from oft.exchange.fitting import fit_series
from oft.exchange.formats import ExportOptions
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import load_base
from oft.params import parse_params
from oft.seeding import generator_for

from .conftest import Inputs, output
from .programs import oft_v2_weight, their_rotations, with_oft_v2

FORMATS = ("kohya", "onetrainer")
CONVOLUTIONS = ("attn1.to_q", "proj_in", "resnets.0.conv1", "downsamplers.0.conv")
LOSSY = ExportOptions(allow_error=True)


def save(
    unet: Any, base_folder: Path, folder: Path, std: float, magnitudes: bool = False, **config: Any
) -> Any:
    """Save an adapter of that deviation, and return its UNet."""
    unet = copy.deepcopy(unet)
    chosen: dict[str, Any] = {"target_modules": UNET_CONTROL_TARGETS, "block_size": 16, **config}
    adapter = inject_oft(unet, OFTConfig(**chosen))
    magnitude = inject_magnitude(unet, chosen["target_modules"]) if magnitudes else None
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in adapter.named_values():
            value.copy_(torch.randn(value.shape, generator=generator) * std / adapter.scales[name])
        for value in [] if magnitude is None else magnitude.adapter_parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    save_adapter(folder, adapter, magnitude, base_hash=identify_base(base_folder).hash)
    return unet


def stated(note: str) -> float:
    found = re.search(r"by (\S+) of", note)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("std", "config"),
    [
        (0.01, {}),
        (0.01, {"block_share": True}),
        (0.004, {"target_modules": CONVOLUTIONS, "block_size": 64}),
        (0.003, {"block_size": None, "num_blocks": 2}),
    ],
)
def test_their_forward_pass_is_ours(
    pristine_unet: Any,
    base_folder: Path,
    unet_inputs: Inputs,
    tmp_path: Path,
    form: str,
    std: float,
    config: dict[str, Any],
) -> None:
    unet = save(pristine_unet, base_folder, tmp_path / "saved", std, **config)
    notes = export_adapter(tmp_path / "saved", base_folder, tmp_path / "x.safetensors", form)
    error = stated(notes[0])
    assert 0 < error <= 1e-3
    expected, plain = output(unet, unet_inputs), output(pristine_unet, unet_inputs)
    found = output(with_oft_v2(pristine_unet, load_file(tmp_path / "x.safetensors")), unet_inputs)
    effect = (expected - plain).norm()
    assert (found - expected).norm() < (2 * error + 1e-4) * effect  # fp32 rounds the outputs
    assert (plain + expected - found).norm() > 0 and effect > 1e-2


@pytest.mark.parametrize("form", FORMATS)
def test_the_stated_error_is_that_of_the_weights(
    pristine_unet: Any, base_folder: Path, tmp_path: Path, form: str
) -> None:
    targets = CONVOLUTIONS
    unet = save(pristine_unet, base_folder, tmp_path / "saved", 0.05, target_modules=targets)
    notes = export_adapter(tmp_path / "saved", base_folder, tmp_path / "x.safetensors", form, options=LOSSY)
    tensors = load_file(tmp_path / "x.safetensors")
    missed = effect = 0.0
    for name, packed in unet.oft_adapter.named_packed():
        layer = pristine_unet.get_submodule(name)
        own = layer.weight.detach().double()
        rotation = cayley(skew_from_packed(packed.detach().double()))
        dense = torch.block_diag(*rotation)
        ours = (own.flatten(1) @ dense.T).view_as(own)
        theirs = oft_v2_weight(layer, tensors[f"lora_unet_{name.replace('.', '_')}.oft_R.weight"])
        missed += float((theirs - ours).square().sum())
        effect += float((ours - own).square().sum())
    assert stated(notes[0]) == pytest.approx((missed / effect) ** 0.5, rel=0.05)


@pytest.mark.parametrize("form", FORMATS)
def test_an_adapter_that_loses_more_is_refused_unless_told(
    pristine_unet: Any, base_folder: Path, tmp_path: Path, form: str
) -> None:
    save(pristine_unet, base_folder, tmp_path / "saved", 0.05)
    target = tmp_path / "x.safetensors"
    with pytest.raises(
        ParamsError, match=r"loses 0\.0\d+ of its effect, and 0\.001 is allowed; give --allow"
    ):
        export_adapter(tmp_path / "saved", base_folder, target, form)
    assert not target.exists()
    notes = export_adapter(tmp_path / "saved", base_folder, target, form, options=LOSSY)
    assert stated(notes[0]) > 1e-2 and target.exists()
    half = ExportOptions(strength=0.2)
    notes = export_adapter(tmp_path / "saved", base_folder, tmp_path / "y.safetensors", form, options=half)
    assert stated(notes[0]) < 1e-3


def test_fitting_gains_on_the_parameters_as_they_are(generator: torch.Generator) -> None:
    """The best of what Newton's steps find, on a weight whose columns differ in size; never worse."""
    weight = torch.randn(40, 32, generator=generator) * torch.linspace(0.1, 3, 32)
    skew = torch.randn(2, 16, 16, generator=generator) * 0.05
    skew = (skew - skew.mT).double()
    unfitted, fitted = fit_series(weight, skew, steps=0), fit_series(weight, skew)
    assert fitted.missed < 0.9 * unfitted.missed
    assert torch.equal(unfitted.skew, skew)
    torch.testing.assert_close(fitted.skew, -fitted.skew.mT, atol=1e-12, rtol=0)
    again = fit_series(weight, skew, steps=30)
    assert again.missed <= fitted.missed <= 1.01 * again.missed, "a few steps are enough"
    size = torch.triu_indices(16, 16, 1)
    factor = their_rotations(fitted.skew[:, size[0], size[1]])
    target = torch.linalg.inv(torch.eye(16) - skew) @ (torch.eye(16) + skew)
    miss = (weight.double().unflatten(1, (2, 16)).transpose(0, 1) @ (factor - target)).square().sum()
    assert float(miss) == pytest.approx(fitted.missed, rel=1e-6)


def test_magnitudes_have_no_place(
    pristine_unet: Any, base_folder: Path, unet_inputs: Inputs, tmp_path: Path
) -> None:
    unet = save(pristine_unet, base_folder, tmp_path / "saved", 0.01, magnitudes=True)
    notes = export_adapter(tmp_path / "saved", base_folder, tmp_path / "x.safetensors", "kohya")
    assert "no magnitudes: the adapter's are left out" in notes[1] and 0.1 < stated(notes[1]) < 1
    unet.magnitude_adapter.remove()
    found = output(with_oft_v2(pristine_unet, load_file(tmp_path / "x.safetensors")), unet_inputs)
    torch.testing.assert_close(found, output(unet, unet_inputs), atol=1e-3, rtol=0)


def test_layers_that_sd_scripts_does_not_adapt_count_as_lost(
    pristine_unet: Any, base_folder: Path, tmp_path: Path
) -> None:
    targets = ("attn1.to_q", "time_embedding.linear_1")
    save(pristine_unet, base_folder, tmp_path / "saved", 0.01, target_modules=targets)
    with pytest.raises(ParamsError, match=r"1 layers that it does not adapt are left out, time_embedding"):
        export_adapter(tmp_path / "saved", base_folder, tmp_path / "x.safetensors", "kohya")
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "k.safetensors", "kohya", options=LOSSY)
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "o.safetensors", "onetrainer")
    key = "lora_unet_time_embedding_linear_1.oft_R.weight"
    assert key not in load_file(tmp_path / "k.safetensors")
    assert key in load_file(tmp_path / "o.safetensors")


def test_sd_scripts_names_every_module_it_would_adapt(
    pristine_unet: Any, base_folder: Path, tmp_path: Path
) -> None:
    """Its walk over the UNet, typed anew, finds a place for each tensor of a file of all kinds of layers."""
    save(pristine_unet, base_folder, tmp_path / "saved", 0.002, target_modules=CONVOLUTIONS)
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "x.safetensors", "kohya")
    places = set()
    for name, module in pristine_unet.named_modules():
        if type(module).__name__ in ("Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"):
            for child, layer in module.named_modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    places.add(f"lora_unet.{name}.{child}".replace(".", "_") + ".oft_R.weight")
    assert set(load_file(tmp_path / "x.safetensors")) <= places
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert file.metadata()["ss_network_module"] == "networks.oft_v2"


def test_onetrainer_is_told_the_block_size(pristine_unet: Any, base_folder: Path, tmp_path: Path) -> None:
    save(pristine_unet, base_folder, tmp_path / "one", 0.01, block_share=True)
    save(pristine_unet, base_folder, tmp_path / "many", 0.001, block_size=None, num_blocks=4)
    notes = export_adapter(tmp_path / "one", base_folder, tmp_path / "a.safetensors", "onetrainer")
    assert notes[1] == "to go on training there, set oft_block_size 16, oft_block_share"
    notes = export_adapter(tmp_path / "many", base_folder, tmp_path / "b.safetensors", "onetrainer")
    assert "one block size for all layers" in notes[1]


def test_what_is_no_rotation_is_refused(base_folder: Path, values: dict[str, Any], tmp_path: Path) -> None:
    base = load_base(base_folder)
    settings = parse_params(values).adapters["dreambooth_lora"]
    adapter = init_adapter(base, settings, with_condition=False, generator=generator_for(0))
    save_with_base(tmp_path / "saved", adapter, base)
    with pytest.raises(ParamsError, match="reads rotations, and this adapter is of method peft"):
        export_adapter(tmp_path / "saved", base_folder, tmp_path / "x.safetensors", "kohya")
