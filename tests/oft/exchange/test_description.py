"""What a saved adapter is: read from its files, PEFT's among them; what is none is refused with a reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import oft
from oft.adapters.hint.encoder import HintEncoder
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import inject_magnitude
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.oft.rotation import skew_from_packed
from oft.adapters.oft.saving import CONVENTION, save_adapter
from oft.errors import CheckpointError
from oft.exchange.description import Blocks, describe_adapter
from tests.oft.conftest import MLP_TARGETS, Mlp

Turn = Callable[..., None]
CONFIG = OFTConfig(MLP_TARGETS, num_blocks=2, coft=True, eps=2e-3)


@pytest.fixture
def adapter(mlp: Mlp, turn: Turn) -> OFTAdapter:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    return adapter


@pytest.fixture
def saved(mlp: Mlp, adapter: OFTAdapter, generator: torch.Generator, tmp_path: Path) -> Path:
    """A folder with everything an adapter can have."""
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    encoder = HintEncoder(out_channels=8, block_out_channels=(4, 4), generator=generator)
    folder = tmp_path / "saved"
    save_adapter(folder, adapter, magnitude, encoder, base_hash="abc", metadata={"task": "canny"})
    return folder


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_folder_is_described_by_what_was_saved(saved: Path, adapter: OFTAdapter) -> None:
    described = describe_adapter(saved)
    assert described.kind == "adapter" and described.layers == 2
    assert described.blocks == (Blocks(1, 2, 8), Blocks(1, 2, 12))
    assert (described.coft, described.eps, described.eps_convention) == (True, 2e-3, "reference")
    assert (described.block_share, described.convention) == (False, CONVENTION)
    assert described.parameter_scale == "none"
    metadata = {"task": "canny", "project": f"oft-pipeline {oft.__version__}"}
    assert (described.base_hash, described.metadata) == ("abc", metadata)
    convs = [(3, 4), (4, 4), (4, 8)]
    assert described.parameters == {
        "rotation": adapter.num_parameters,
        "magnitude": 24 + 12,
        "hint_encoder": sum(9 * width_in * width_out + width_out for width_in, width_out in convs),
    }
    assert described.files == {path.name: path.stat().st_size for path in saved.iterdir()}
    skews = [skew_from_packed(packed.detach()) for packed in adapter.adapter_parameters()]
    assert described.max_abs_skew == pytest.approx(max(float(skew.abs().max()) for skew in skews))
    assert json.loads(json.dumps(described.to_json()))["blocks"][1] == {
        "layers": 1,
        "stored_blocks": 2,
        "block_size": 12,
    }


@pytest.mark.parametrize(
    ("name", "kind", "layers"),
    [("adapter_model", "rotation", 2), ("magnitude", "magnitude", 2), ("hint_encoder", "hint_encoder", 3)],
)
def test_a_file_is_described_by_itself(saved: Path, name: str, kind: str, layers: int) -> None:
    whole, described = describe_adapter(saved), describe_adapter(saved / f"{name}.safetensors")
    assert (described.kind, described.layers, described.base_hash) == (kind, layers, "abc")
    assert described.parameters == {kind: whole.parameters[kind]}
    assert described.files == whole.files
    for fact in ("blocks", "convention", "coft", "eps", "block_share", "max_abs_skew"):
        assert (
            getattr(described, fact) == getattr(whole, fact)
            if kind == "rotation"
            else not getattr(described, fact)
        )


def test_the_text_names_every_fact(saved: Path) -> None:
    described = describe_adapter(saved)
    text = described.to_text()
    assert text.splitlines()[0] == f"{saved}: an OFT adapter"
    facts = [
        "2 of 8 x 8 in 1 layers; 2 of 12 x 12 in 1 layers", CONVENTION, "eps 0.002", "abc", "task=canny",
        f"{described.max_abs_skew:.4g}", "36 (magnitude)", "magnitude.safetensors (", "adapter_config.json (",
    ]  # fmt: skip
    assert [fact for fact in facts if fact not in text] == []
    assert "COFT" not in describe_adapter(saved / "magnitude.safetensors").to_text()


def test_shared_blocks_are_said_to_be(mlp: Mlp, tmp_path: Path) -> None:
    save_adapter(
        tmp_path, inject_oft(mlp, OFTConfig(MLP_TARGETS, block_size=4, block_share=True)), base_hash=""
    )
    described = describe_adapter(tmp_path)
    assert described.block_share and described.blocks == (Blocks(2, 1, 4),)
    assert (described.coft, described.eps, described.max_abs_skew) == (False, None, 0.0)
    assert "1 of 4 x 4 in 2 layers, shared" in described.to_text()


@pytest.mark.parametrize("neumann", [False, True])
def test_what_peft_saved_is_described(mlp: Mlp, tmp_path: Path, neumann: bool) -> None:
    import peft

    config = peft.OFTConfig(
        oft_block_size=8, target_modules=list(MLP_TARGETS), coft=True, eps=0.3, use_cayley_neumann=neumann
    )
    peft.get_peft_model(mlp, config).save_pretrained(str(tmp_path))
    described = describe_adapter(tmp_path)
    assert described.blocks == (Blocks(1, 2, 8), Blocks(1, 3, 8))
    assert (described.coft, described.eps, described.eps_convention) == (True, 0.3, "peft")
    assert described.base_hash is None and "not recorded" in described.to_text()
    assert described.convention is not None
    assert (described.convention == CONVENTION) is not neumann
    assert ("Neumann" in described.convention) is neumann
    assert "eps 0.3, convention peft" in described.to_text()
    assert describe_adapter(tmp_path / "adapter_model.safetensors").convention is None


# --- what cannot be described -------------------------------------------------------------------------------


def refuse(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as refused:
        describe_adapter(path)
    assert str(path) in str(refused.value)


def test_nothing_is_no_adapter(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "no such file or folder")
    refuse(tmp_path, "holds adapter_model.safetensors, and this one nothing")
    (tmp_path / "notes.txt").touch()
    refuse(tmp_path, "and this one notes.txt")


def test_a_truncated_file_is_refused(saved: Path) -> None:
    for name in ("adapter_model", "magnitude", "hint_encoder"):
        file = saved / f"{name}.safetensors"
        whole = file.read_bytes()
        file.write_bytes(whole[:-10])
        refuse(file, "must be a whole safetensors file")
        refuse(saved, f"{name}.safetensors: must be a whole safetensors file")
        file.write_bytes(whole)
    (saved / "notes.txt").write_text("An adapter, honestly.")
    refuse(saved / "notes.txt", "must be a whole safetensors file")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "here there is none"),
        ({"unet.to_q.lora_A.weight": torch.zeros(2, 2)}, "and here 'unet.to_q.lora_A.weight'"),
        ({"to_q.oft_blocks": torch.zeros(2, 4, 4)}, "and here 'to_q.oft_blocks'"),
        ({"to_q.log_scale": torch.zeros(2), "x": torch.zeros(2)}, "and here 'to_q.log_scale', 'x'"),
        ({"base_model.model.to_q.oft_R.weight": torch.zeros(2, 5)}, r"and '.*oft_R.weight' as \[2, 5\]"),
        ({"base_model.model.to_q.oft_R.weight": torch.zeros(2, 4, 4)}, r"as \[2, 4, 4\]"),
    ],
)
def test_other_tensors_are_refused(saved: Path, tensors: dict[str, Tensor], message: str) -> None:
    save_file(tensors, saved / "adapter_model.safetensors")
    refuse(saved, message)
    refuse(saved / "adapter_model.safetensors", message)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(saved: Path, value: float) -> None:
    file = saved / "adapter_model.safetensors"
    tensors = load_file(file)
    name = sorted(tensors)[-1]
    tensors[name][0, 0] = value
    save_file(tensors, file)
    refuse(saved, f"must hold finite numbers, and has 1 not finite .*: {name}")


def test_files_that_do_not_belong_together_are_refused(saved: Path) -> None:
    file = saved / "magnitude.safetensors"
    tensors: dict[str, Any] = load_file(file)
    save_file(tensors, file, metadata={"base_hash": "def"})
    refuse(saved, r"must belong to one base, and record abc \(adapter_model.safetensors\), def \(magnitude")
    file.write_bytes((saved / "hint_encoder.safetensors").read_bytes())
    refuse(saved, "must hold the magnitudes of an OFT adapter, and holds a hint encoder")


def test_another_configuration_is_refused(saved: Path) -> None:
    for text in ("{", "[]", "{}"):
        (saved / "adapter_config.json").write_text(text)
        refuse(saved, "adapter_config.json: .* with its peft_type, got ")
    (saved / "adapter_config.json").unlink()
    refuse(saved, "adapter_config.json: .*, and this is no file")


def test_an_eps_that_is_no_number_is_refused(saved: Path) -> None:
    file = saved / "adapter_model.safetensors"
    save_file(load_file(file), file, metadata={"coft": "true", "eps": "small"})
    refuse(saved, "eps must be a finite number above 0, got 'small'")


@pytest.mark.parametrize("eps", ["1e400", "Infinity", "NaN", "-1", "0", "true", "[1]", f"1{'0' * 400}"])
def test_an_eps_that_is_no_finite_number_above_nought_is_refused(saved: Path, eps: str) -> None:
    file = saved / "adapter_config.json"
    values = json.loads(file.read_text())
    del values["eps"]
    file.write_text(f'{{"eps": {eps}, {json.dumps(values)[1:]}')
    with pytest.raises(
        CheckpointError, match=r"config\.json: eps must be a finite number above 0, got .{1,80};"
    ):
        describe_adapter(saved)


@pytest.mark.parametrize("name", ["coft", "block_share", "use_cayley_neumann"])
def test_a_flag_as_text_is_refused(saved: Path, name: str) -> None:
    change_config(saved, **{name: "false"})
    with pytest.raises(CheckpointError, match=rf"config\.json: {name} must be true or false, got 'false'"):
        describe_adapter(saved)


def test_a_deeply_nested_configuration_is_refused(saved: Path) -> None:
    (saved / "adapter_config.json").write_text('{"peft_type": "OFT", "x": ' + "[" * 5000 + "]" * 5000 + "}")
    with pytest.raises(CheckpointError, match=r"holds PEFT's JSON here.*RecursionError"):
        describe_adapter(saved)


@pytest.mark.parametrize("name", ["magnitude.safetensors", "hint_encoder.safetensors"])
def test_values_beside_the_rotations_must_be_finite_too(saved: Path, name: str) -> None:
    tensors = load_file(saved / name)
    next(iter(tensors.values())).view(-1)[0] = torch.nan
    save_file(tensors, saved / name)
    with pytest.raises(CheckpointError, match=rf"{name} must hold finite numbers, and has 1 not finite"):
        describe_adapter(saved)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", ["adapter_config.json", "adapter_model.safetensors", "hint_encoder.safetensors"]
)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(saved: Path, name: str) -> None:
    (saved / name).unlink()
    os.mkfifo(saved / name)
    if name == "hint_encoder.safetensors":
        assert set(describe_adapter(saved).parameters) == {"rotation", "magnitude"}
        return
    with pytest.raises(CheckpointError, match=rf"{name}"):
        describe_adapter(saved)
