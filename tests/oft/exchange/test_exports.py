"""Exports of a saved adapter: what is written, what is said, what is refused."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.errors import CheckpointError, ParamsError
from oft.exchange import export_adapter
from oft.exchange.bases import identify_base
from oft.exchange.delta import delta_key
from oft.exchange.formats import ExportOptions
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import load_base
from oft.params import parse_params
from oft.seeding import generator_for
from tests.adapters import move

from .conftest import Inputs, output


def test_peft_loads_the_exported_rotations(
    adapter_folder: Path, base_folder: Path, pristine_unet: Any, unet_inputs: Inputs, tmp_path: Path
) -> None:
    import peft

    notes = export_adapter(adapter_folder, base_folder, tmp_path / "peft", "peft")
    assert "magnitudes" in notes[0] and "hint encoder is left out" in notes[1]
    names = {"adapter_config.json", "adapter_model.safetensors"}
    assert {path.name for path in (tmp_path / "peft").iterdir()} == names
    unet = copy.deepcopy(pristine_unet)
    OrthogonalAdapter.load(tmp_path / "peft", unet)
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(pristine_unet), tmp_path / "peft")
    torch.testing.assert_close(output(theirs, unet_inputs), output(unet, unet_inputs), atol=1e-5, rtol=1e-5)


def test_merged_and_difference_are_of_the_same_weights(
    adapter_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    notes = export_adapter(adapter_folder, base_folder, tmp_path / "merged", "diffusers", "fp32")
    assert len(notes) == 2 and "takes no control signal" in notes[0]
    assert notes[1].startswith("merged: ") and notes[1].endswith(" MB, fp32 (--dtype fp16 for another)")
    export_adapter(adapter_folder, base_folder, tmp_path / "delta.safetensors", "delta", "fp32")
    file = "unet/diffusion_pytorch_model.safetensors"
    base, merged = load_file(base_folder / file), load_file(tmp_path / "merged" / file)
    deltas = load_file(tmp_path / "delta.safetensors")
    changed = [name for name in base if not torch.equal(base[name].float(), merged[name])]
    assert len(changed) == len(deltas)
    for name in changed:
        delta = deltas[f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}.diff"]
        torch.testing.assert_close(base[name].float() + delta, merged[name], atol=1e-7, rtol=1e-6)


def test_a_file_of_differences_says_what_it_is_of(
    adapter_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    export_adapter(adapter_folder, base_folder, tmp_path / "a.safetensors", "delta")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        metadata = file.metadata()
    identity = identify_base(base_folder)
    assert metadata["base_hash"] == identity.hash and metadata["base_name"] == identity.name == "miniature"
    assert metadata["project"].startswith("oft-pipeline ") and "saved" in metadata["origin"]
    export_adapter(adapter_folder, base_folder, tmp_path / "b.safetensors", "delta")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("target", "form", "message"),
    [
        ("taken", "diffusers", "taken: must not exist yet"),
        ("taken", "peft", "taken: must not exist yet"),
        ("base/merged", "diffusers", "must lie outside the base"),
        ("x", "delta", "delta is one file; name it with .safetensors"),
        ("x.safetensors", "diffusers", "diffusers is a folder; name it without"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(
    adapter_folder: Path, tmp_path: Path, base_folder: Path, target: str, form: Any, message: str
) -> None:
    base = Path(shutil.copytree(base_folder, tmp_path / "base"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious.txt").touch()
    with pytest.raises(ParamsError, match=message):
        export_adapter(adapter_folder, base, tmp_path / target, form)
    assert (tmp_path / "taken" / "precious.txt").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"base", "taken"}


def test_peft_takes_no_other_precision(adapter_folder: Path, base_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"--dtype \(fp16\): peft is written in fp32 alone"):
        export_adapter(adapter_folder, base_folder, tmp_path / "x", "peft", "fp16")


@pytest.mark.parametrize("form", ["peft", "diffusers"])
def test_an_adapter_of_another_base_is_refused(
    adapter_folder: Path, base_folder: Path, tmp_path: Path, form: Any
) -> None:
    base = Path(shutil.copytree(base_folder, tmp_path / "base"))
    (base / "base.json").write_text('{"origin": "another", "hash": "0", "parts": []}')
    with pytest.raises(CheckpointError, match=r"of hash 0, and was trained on \w+ \(miniature\)"):
        export_adapter(adapter_folder, base, tmp_path / "out", form)
    assert {path.name for path in tmp_path.iterdir()} == {"base"}


def test_a_base_that_is_none_is_named(adapter_folder: Path, base_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model_index.json is missing"):
        export_adapter(adapter_folder, adapter_folder, tmp_path / "out", "diffusers")
    base = Path(shutil.copytree(base_folder, tmp_path / "base"))
    (base / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"unet: cannot be loaded as UNet2DConditionModel"):
        export_adapter(adapter_folder, base, tmp_path / "out", "diffusers")


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 11.0])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ParamsError, match=r"--strength \((nan|inf|11.0)\) must be from -10 to 10"):
        ExportOptions(strength=strength)


def test_strength_is_in_the_merged_weights(adapter_folder: Path, base_folder: Path, tmp_path: Path) -> None:
    nowhere = ExportOptions(strength=0.0)
    export_adapter(adapter_folder, base_folder, tmp_path / "none.safetensors", "delta", options=nowhere)
    export_adapter(adapter_folder, base_folder, tmp_path / "all.safetensors", "delta")
    nothing, everything = load_file(tmp_path / "none.safetensors"), load_file(tmp_path / "all.safetensors")
    assert all(not delta.any() for delta in nothing.values())
    assert all(delta.any() for delta in everything.values())


def test_a_place_below_a_file_is_refused(adapter_folder: Path, base_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ParamsError, match=r"must lie in a folder, and .*file is a file"):
        export_adapter(adapter_folder, base_folder, tmp_path / "file" / "out", "diffusers")


KINDS: dict[str, dict[str, Any]] = {
    "lora": {"method": "peft", "type": "LORA", "r": 4},
    "glora": {"method": "peft", "type": "GLORA", "r": 4},  # changes biases too
    "norms": {"method": "peft", "type": "LN_TUNING", "target_modules": ["norm1", "norm2"]},
    "full": {"method": "full"},
}


@pytest.fixture(params=KINDS)
def moved(request: pytest.FixtureRequest, base_folder: Path, values: dict[str, Any], tmp_path: Path) -> Any:
    """An adapter away from the identity on its base, saved in ``saved``."""
    values["adapters"]["tried"] = KINDS[request.param]
    base = load_base(base_folder)
    settings = parse_params(values).adapters["tried"]
    adapter = init_adapter(base, settings, with_condition=False, generator=generator_for(0))
    move(adapter, 1e-2)
    save_with_base(tmp_path / "saved", adapter, base)
    return base


def test_a_merged_checkpoint_of_any_kind_predicts_what_the_adapter_does(
    moved: Any, base_folder: Path, unet_inputs: Inputs, tmp_path: Path
) -> None:
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "merged", "diffusers", "fp32")
    merged = load_base(tmp_path / "merged")
    torch.testing.assert_close(
        output(merged.unet, unet_inputs), output(moved.unet, unet_inputs), atol=1e-4, rtol=0
    )
    plain = load_base(base_folder)
    assert (output(plain.unet, unet_inputs) - output(moved.unet, unet_inputs)).abs().max() > 1e-3


def test_differences_of_any_kind_add_up_to_it(
    moved: Any, base_folder: Path, unet_inputs: Inputs, tmp_path: Path
) -> None:
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "delta.safetensors", "delta", "fp32")
    plain = load_base(base_folder)
    parameters = {
        delta_key(name): value
        for name, value in plain.unet.named_parameters()
        if name.endswith((".weight", ".bias"))
    }
    for key, difference in load_file(tmp_path / "delta.safetensors").items():
        parameters[key].data += difference
    torch.testing.assert_close(
        output(plain.unet, unet_inputs), output(moved.unet, unet_inputs), atol=1e-4, rtol=0
    )


def test_what_is_no_change_of_weights_cannot_be_merged(
    base_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    values["adapters"]["tried"] = {"method": "peft", "type": "LILY", "r": 4}
    base = load_base(base_folder)
    settings = parse_params(values).adapters["tried"]
    adapter = init_adapter(base, settings, with_condition=False, generator=generator_for(0))
    save_with_base(tmp_path / "saved", adapter, base)
    with pytest.raises(ParamsError, match="changes no weights"):
        export_adapter(tmp_path / "saved", base_folder, tmp_path / "merged", "diffusers")
