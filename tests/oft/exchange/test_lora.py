"""Any adapter as a LoRA: stock diffusers makes of it what the adapter does, within the stated error."""

from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.errors import ParamsError
from oft.exchange import export_adapter
from oft.exchange.formats import ExportOptions
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import Base, load_base, make_pipeline
from oft.params import parse_params
from oft.seeding import generator_for
from tests.adapters import move

from .conftest import Inputs, output, without_hint

FILE = "pytorch_lora_weights.safetensors"


def in_stock_diffusers(base_folder: Path, file: Path) -> Any:
    """The UNet of a stock pipeline that has loaded the file."""
    pipeline = make_pipeline(load_base(base_folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT reads what transformers is about to rename
        pipeline.load_lora_weights(file.parent, weight_name=file.name)
    return pipeline.unet


def changes(before: Any, after: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value - before.get_parameter(name).detach() for name, value in after.items()}


def stated_error(notes: list[str]) -> float:
    found = re.search(r"differ from the adapter's by (\S+) of the change", notes[0])
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("options", [{}, {"rank": 8}, {"energy": 0.9999}])
def test_weights_and_outputs_are_within_the_stated_error(
    adapter_folder: Path,
    base_folder: Path,
    pristine_unet: Any,
    unet: Any,
    loaded: OrthogonalAdapter,
    unet_inputs: Inputs,
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    """Magnitudes included; ranks differ from layer to layer where a share decides."""
    notes = export_adapter(
        adapter_folder, base_folder, tmp_path / "lora", "lora", options=ExportOptions(**options)
    )
    error = stated_error(notes)
    wanted = changes(pristine_unet, loaded.merged_values())
    tensors = load_file(tmp_path / "lora" / FILE)
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    missed = 0.0
    for name, change in wanted.items():
        layer = f"unet.{name.removesuffix('.weight')}"
        product = tensors[f"{layer}.lora_B.weight"].double() @ tensors[f"{layer}.lora_A.weight"].double()
        missed += float((product - change.double()).square().sum())
    effect = sum(float(change.double().square().sum()) for change in wanted.values())
    assert (missed / effect) ** 0.5 == pytest.approx(error, rel=0.05)
    assert "keep" in notes[0] and any(" MB, fp16" in note for note in notes)
    ranks = {tensors[name].shape[0] for name in tensors if "lora_A" in name}
    assert ranks == {8} if "rank" in options else len(ranks) > 2
    expected = without_hint(unet, unet_inputs)
    found = output(in_stock_diffusers(base_folder, tmp_path / "lora" / FILE), unet_inputs)
    moved = (expected - output(pristine_unet, unet_inputs)).norm()
    assert (found - expected).norm() / moved < max(1.5 * error, 2e-3)


KINDS: dict[str, dict[str, Any]] = {
    "convolutions": {
        "method": "oft",
        "block_size": 32,
        "target_modules": ["resnets.0.conv1", "proj_in", "attn1.to_q"],
    },
    "full": {"method": "full"},
    "boft": {"method": "peft", "type": "BOFT", "boft_block_size": 4},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_with_kernels_biases_and_norms(
    base_folder: Path, values: dict[str, Any], unet_inputs: Inputs, tmp_path: Path, kind: str
) -> None:
    base = saved(base_folder, values, KINDS[kind], tmp_path)
    everything = ExportOptions(energy=1.0)
    notes = export_adapter(
        tmp_path / "saved", base_folder, tmp_path / "x.safetensors", "lora", "fp32", everything
    )
    expected, plain = output(base.unet, unet_inputs), output(load_base(base_folder).unet, unet_inputs)
    found = output(in_stock_diffusers(base_folder, tmp_path / "x.safetensors"), unet_inputs)
    shapes = {value.dim() for value in load_file(tmp_path / "x.safetensors").values()}
    assert shapes == ({2} if kind == "boft" else {2, 4})
    if kind == "full":
        assert "biases and norms change" in notes[1] and 0 < stated_error(notes) < 0.5
        assert (found - expected).norm() < 0.5 * (plain - expected).norm()
    else:
        assert stated_error(notes) < 1e-5
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        assert (plain - expected).abs().max() > 1e-2


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_lora_keeps_its_own_factors(
    base_folder: Path, values: dict[str, Any], unet_inputs: Inputs, tmp_path: Path, strength: float
) -> None:
    entry = {"method": "peft", "type": "LORA", "r": 4, "lora_alpha": 2, "use_rslora": True}
    base = saved(base_folder, values, entry, tmp_path)
    notes = export_adapter(
        tmp_path / "saved",
        base_folder,
        tmp_path / "lora",
        "lora",
        "fp32",
        ExportOptions(strength=strength),
    )
    assert "its own factors" in notes[0]
    own, made = load_file(tmp_path / "saved" / FILE), load_file(tmp_path / "lora" / FILE)
    assert own.keys() == made.keys()
    for name, value in own.items():
        assert torch.equal(made[name], value * (strength if "lora_B" in name else 1.0))
    if strength == 1.0:
        found = output(in_stock_diffusers(base_folder, tmp_path / "lora" / FILE), unet_inputs)
        torch.testing.assert_close(found, output(base.unet, unet_inputs), atol=1e-4, rtol=0)


def test_the_text_encoders_factors_of_a_lora_are_kept(
    base_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    entry = {"method": "peft", "type": "LORA", "r": 4, "train_text_encoder": True}
    saved(base_folder, values, entry, tmp_path)
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "lora", "lora", "fp32")
    own, made = load_file(tmp_path / "saved" / FILE), load_file(tmp_path / "lora" / FILE)
    assert own.keys() == made.keys() and any(name.startswith("text_encoder.") for name in made)
    assert all(torch.equal(made[name], own[name]) for name in own)


def test_dora_has_more_than_factors(base_folder: Path, values: dict[str, Any], tmp_path: Path) -> None:
    saved(base_folder, values, {"method": "peft", "type": "LORA", "r": 4, "use_dora": True}, tmp_path)
    notes = export_adapter(tmp_path / "saved", base_folder, tmp_path / "lora", "lora")
    assert stated_error(notes) < 0.2


def test_releases_before_042_are_told_the_ranks(
    adapter_folder: Path, base_folder: Path, unet_inputs: Inputs, tmp_path: Path
) -> None:
    """diffusers takes the file's metadata rather than the shapes; both say the same."""
    from safetensors import safe_open

    export_adapter(adapter_folder, base_folder, tmp_path / "lora", "lora")
    with safe_open(tmp_path / "lora" / FILE, framework="pt") as file:
        assert '"unet.rank_pattern"' in file.metadata()["lora_adapter_metadata"]
    save_file(load_file(tmp_path / "lora" / FILE), tmp_path / "bare.safetensors")
    found = output(in_stock_diffusers(base_folder, tmp_path / "lora" / FILE), unet_inputs)
    bare = output(in_stock_diffusers(base_folder, tmp_path / "bare.safetensors"), unet_inputs)
    torch.testing.assert_close(found, bare, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, r"--rank \(0\) must be at least 1"),
        ({"energy": 1.5}, r"--energy \(1.5\) must be above 0 and at most 1"),
        ({"energy": float("nan")}, r"--energy \(nan\) must be above 0"),
        ({"rank": 4, "energy": 0.9}, "both decide the ranks"),
    ],
)
def test_ranks_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        ExportOptions(**options)


def saved(base_folder: Path, values: dict[str, Any], entry: dict[str, Any], folder: Path) -> Base:
    """Save an adapter away from the identity in ``folder / "saved"``; return the base that carries it."""
    values["adapters"]["tried"] = entry
    base = load_base(base_folder)
    settings = copy.deepcopy(parse_params(values).adapters["tried"])
    adapter = init_adapter(base, settings, with_condition=False, generator=generator_for(0))
    move(adapter, 1e-2)
    save_with_base(folder / "saved", adapter, base)
    return base
