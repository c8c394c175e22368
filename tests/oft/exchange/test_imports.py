"""Imports: formats told apart, adapters saved so that this project loads them, nothing half-written."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.errors import CheckpointError, ParamsError
from oft.exchange import export_adapter, import_adapter
from oft.exchange.bases import identify_base
from oft.exchange.foreign import ForeignAdapter
from oft.exchange.imports import read_foreign
from oft.exchange.sources import ReadOptions

from .conftest import Inputs, linear_names, output
from .test_reference import ldm_state, raw_matrices

TARGETS = ("attn1.to_q", "attn2.to_v")
NEUMANN = ReadOptions(cayley="neumann")


@pytest.fixture
def peft_folder(pristine_unet: Any, tmp_path: Path) -> Path:
    """An adapter in PEFT's layout under its truncated transform."""
    generator = torch.Generator().manual_seed(5)
    tensors = {
        f"base_model.model.{name}.oft_R.weight": torch.randn(8, 120, generator=generator) * 0.05
        for name in linear_names(pristine_unet, TARGETS)
        if pristine_unet.get_submodule(name).in_features == 128
    }
    folder = tmp_path / "theirs"
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "OFT",
        "oft_block_size": 16,
        "r": 0,
        "target_modules": list(TARGETS),
        "use_cayley_neumann": True,
        "num_cayley_neumann_terms": 5,
        "peft_version": "0.21.2",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_an_imported_adapter_is_one_of_the_base(
    peft_folder: Path, base_folder: Path, pristine_unet: Any, unet_inputs: Inputs, tmp_path: Path
) -> None:
    (note,) = import_adapter(peft_folder, base_folder, tmp_path / "ours")
    assert "the exact rotation is taken" in note
    unet = copy.deepcopy(pristine_unet)
    loaded = OrthogonalAdapter.load(tmp_path / "ours", unet, base_hash=identify_base(base_folder).hash)
    assert loaded.metadata["imported_from"] == "theirs" and loaded.metadata["base_name"] == "miniature"
    theirs = load_file(peft_folder / "adapter_model.safetensors")
    for name, packed in loaded.rotations.named_packed():
        assert torch.equal(packed, -theirs[f"base_model.model.{name}.oft_R.weight"])
    assert (output(unet, unet_inputs) - output(pristine_unet, unet_inputs)).abs().max() > 1e-3
    assert loaded.rotations.orthogonality_error() < 1e-6


def test_importing_twice_gives_the_same_bytes(peft_folder: Path, base_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        import_adapter(peft_folder, base_folder, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_what_we_export_to_peft_comes_back(adapter_folder: Path, base_folder: Path, tmp_path: Path) -> None:
    export_adapter(adapter_folder, base_folder, tmp_path / "peft", "peft")
    assert import_adapter(tmp_path / "peft", base_folder, tmp_path / "back") == []
    file = "adapter_model.safetensors"
    ours, back = load_file(adapter_folder / file), load_file(tmp_path / "back" / file)
    assert ours.keys() == back.keys() and all(torch.equal(back[name], ours[name]) for name in ours)
    config = "adapter_config.json"
    assert json.loads((tmp_path / "back" / config).read_text()) == json.loads(
        (adapter_folder / config).read_text()
    )


def test_the_truncated_product_is_written_as_weights(
    peft_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    (note,) = import_adapter(peft_folder, base_folder, tmp_path / "merged", options=NEUMANN, precision="fp32")
    assert "no adapter, and no rotation" in note
    import_adapter(
        peft_folder, base_folder, tmp_path / "delta.safetensors", options=NEUMANN, precision="fp32"
    )
    file = "unet/diffusion_pytorch_model.safetensors"
    base, merged = load_file(base_folder / file), load_file(tmp_path / "merged" / file)
    deltas = load_file(tmp_path / "delta.safetensors")
    changed = [name for name in base if not torch.equal(base[name].float(), merged[name])]
    assert len(changed) == len(deltas) == len(load_file(peft_folder / "adapter_model.safetensors"))
    for name in changed:
        delta = deltas[f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}.diff"]
        torch.testing.assert_close(base[name].float() + delta, merged[name], atol=1e-7, rtol=1e-6)


def test_a_checkpoint_of_the_reference_is_told_apart(
    pristine_unet: Any, base_folder: Path, tmp_path: Path
) -> None:
    raw = raw_matrices(pristine_unet, linear_names(pristine_unet), shared=False)
    torch.save({"state_dict": ldm_state(pristine_unet, raw)}, tmp_path / "last.ckpt")
    (note,) = import_adapter(
        tmp_path / "last.ckpt", base_folder, tmp_path / "ours", options=ReadOptions(reference="early")
    )
    assert "early code" in note
    unet = copy.deepcopy(pristine_unet)
    assert OrthogonalAdapter.load(tmp_path / "ours", unet).rotations.config.num_blocks == 4


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["unet.lora_A.weight", "unet.lora_B.weight"],
            "got unet.lora_A.weight, unet.lora_B.weight; other",
        ),
    ],
)
def test_other_formats_are_refused(base_folder: Path, tmp_path: Path, names: list[str], message: str) -> None:
    save_file({name: torch.zeros(2) for name in names}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=message):
        import_adapter(tmp_path / "x.safetensors", base_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"options": ReadOptions(reference="early")}, r"--reference \(early\) is for files of the paper's"),
        ({"options": ReadOptions(coft_eps=1e-3)}, r"--coft-eps \(0.001\) is for files of the paper's"),
        ({"options": ReadOptions(scaled_by="entries")}, r"--scaled-by \(entries\) is for files of kohya's"),
        ({"precision": "fp16"}, r"--dtype \(fp16\) is for merged weights"),
    ],
)
def test_options_that_do_not_fit_pefts_file_are_refused(
    peft_folder: Path, base_folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        import_adapter(peft_folder, base_folder, tmp_path / "out", **options)


def test_the_reference_has_no_truncated_product(
    pristine_unet: Any, base_folder: Path, tmp_path: Path
) -> None:
    raw = raw_matrices(pristine_unet, linear_names(pristine_unet), shared=False)
    torch.save(ldm_state(pristine_unet, raw), tmp_path / "x.ckpt")
    with pytest.raises(ParamsError, match=r"--cayley \(neumann\) is for files of kohya's .* and PEFT"):
        import_adapter(tmp_path / "x.ckpt", base_folder, tmp_path / "out", options=NEUMANN)


def test_an_adapter_of_this_project_is_no_import(
    adapter_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ParamsError, match=r"is an adapter of this project already \(magnitude.safetensors"):
        import_adapter(adapter_folder, base_folder, tmp_path / "out")


def test_an_interrupted_import_leaves_nothing(
    peft_folder: Path, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(adapter: OrthogonalAdapter, folder: Path, **options: object) -> None:
        (folder / "adapter_config.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(OrthogonalAdapter, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        import_adapter(peft_folder, base_folder, tmp_path / "ours")
    assert {path.name for path in tmp_path.iterdir()} == {"theirs"}


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_names_within_a_pipeline_or_of_a_compiled_unet_are_those_of_the_unet(
    peft_folder: Path, pristine_unet: Any, tmp_path: Path, name: str
) -> None:
    folder = Path(shutil.copytree(peft_folder, tmp_path / "renamed"))
    tensors = load_file(folder / "adapter_model.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    # adapter_model.bin holds safetensors here, as some hubs serve them.
    save_file({f"unet._orig_mod.{key}": value for key, value in tensors.items()}, folder / name)
    ours, theirs = read_foreign(folder, pristine_unet), read_foreign(peft_folder, pristine_unet)
    assert isinstance(ours, ForeignAdapter) and isinstance(theirs, ForeignAdapter)
    assert ours.packed.keys() == theirs.packed.keys()
    assert all(torch.equal(ours.packed[key], theirs.packed[key]) for key in theirs.packed)
