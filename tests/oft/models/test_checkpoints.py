"""Checkpoints of others: read without running them, or refused."""

from __future__ import annotations

import random
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from oft.adapters.tensors import write_tensors
from oft.errors import CheckpointError
from oft.models import checkpoints
from oft.models.checkpoints import read_checkpoint

TENSORS = {"a.R": torch.arange(4.0), "b": torch.ones(2, 2)}


class Bomb:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ["file.ckpt", "file.pt", "adapter_model.bin"])
def test_the_state_dict_of_a_pickle_is_read(tmp_path: Path, name: str, wrapped: bool) -> None:
    lightning = {"state_dict": TENSORS, "epoch": 3, "optimizer_states": [{}]}
    content = lightning if wrapped else {**TENSORS, "step": 4}
    torch.save(content, tmp_path / name)
    read = read_checkpoint(tmp_path / name)
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[key], TENSORS[key]) for key in TENSORS)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "was_run"
    torch.save({**TENSORS, "x": Bomb(trace)}, tmp_path / "file.ckpt")
    with pytest.raises(CheckpointError, match=r"file\.ckpt: a pickle may hold tensors and plain"):
        read_checkpoint(tmp_path / "file.ckpt")
    assert not trace.exists()


def test_lightnings_classes_are_skipped_without_lightning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pytorch_lightning.callbacks"
    callback = type("ModelCheckpoint", (), {"__module__": name})
    for module in (name.partition(".")[0], name):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    setattr(sys.modules[name], "ModelCheckpoint", callback)  # noqa: B010 (the type checker knows modules)
    torch.save({"state_dict": TENSORS, "callbacks": {callback: {"best": 1}}}, tmp_path / "last.ckpt")
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "last.ckpt").keys() == TENSORS.keys()
    assert name not in sys.modules


@pytest.mark.parametrize("name", ["file.safetensors", "file.ckpt"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if file.suffix == ".ckpt":
        torch.save(TENSORS, file)
    else:
        write_tensors(file, TENSORS, {})
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=rf"{name}: must be a whole"):
        read_checkpoint(file)


@pytest.mark.parametrize("fault", [AssertionError(), zipfile.BadZipFile("Bad magic number")])
def test_whatever_a_damaged_file_leads_torch_to_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise fault

    torch.save(TENSORS, tmp_path / "file.ckpt")
    monkeypatch.setattr(torch, "load", fail)
    monkeypatch.setattr(checkpoints, "get_unsafe_globals_in_checkpoint", fail)
    with pytest.raises(CheckpointError, match=r"file\.ckpt: must be a whole file of torch\.save"):
        read_checkpoint(tmp_path / "file.ckpt")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_with_changed_bytes_is_read_or_refused_in_words(tmp_path: Path, legacy: bool) -> None:
    torch.save(TENSORS, tmp_path / "file.ckpt", _use_new_zipfile_serialization=not legacy)
    whole, draw = (tmp_path / "file.ckpt").read_bytes(), random.Random(0)
    refused = 0
    for _ in range(150):
        changed = bytearray(whole)
        for _ in range(3):
            changed[draw.randrange(len(whole))] = draw.randrange(256)
        (tmp_path / "file.ckpt").write_bytes(changed)
        try:
            read_checkpoint(tmp_path / "file.ckpt")
        except CheckpointError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("name", ["model.ckpt", "model.bin", "model.SAFETENSORS", "model"])
def test_safetensors_are_told_by_their_content(tmp_path: Path, name: str) -> None:
    write_tensors(tmp_path / name, TENSORS, {})
    read = read_checkpoint(tmp_path / name)
    assert all(torch.equal(read[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize("start", [b"PK", b"\x80\x02", b"<", b" <", b"\n<"])
def test_a_header_whose_length_looks_like_another_format_is_one(tmp_path: Path, start: bytes) -> None:
    length = int.from_bytes(start, "little")
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    (tmp_path / "model.safetensors").write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    assert read_checkpoint(tmp_path / "model.safetensors").keys() == {"a"}
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        read_checkpoint(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["model.safetensors", "model.SAFETENSORS"])
def test_a_pickle_called_safetensors_is_called_what_it_is(tmp_path: Path, name: str, legacy: bool) -> None:
    torch.save(TENSORS, tmp_path / name, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        CheckpointError, match=rf"{name}: must be .* and is a file of torch\.save; call it \.ckpt"
    ):
        read_checkpoint(tmp_path / name)


def test_what_torch_compile_puts_into_names_is_left_out(tmp_path: Path) -> None:
    named = {"_orig_mod.a.R": TENSORS["a.R"], "model._orig_mod.b": TENSORS["b"]}
    torch.save(named, tmp_path / "model.pt")
    assert read_checkpoint(tmp_path / "model.pt").keys() == {"a.R", "model.b"}
    write_tensors(tmp_path / "model.safetensors", {**named, "a.R": torch.zeros(4)}, {})
    with pytest.raises(CheckpointError, match=r"holds weights twice, with and without _orig_mod\."):
        read_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 1}, {"state_dict": {}}])
def test_a_pickle_without_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "file.bin")
    with pytest.raises(CheckpointError, match="must hold a dictionary of tensors"):
        read_checkpoint(tmp_path / "file.bin")


def test_what_a_pickle_holds_instead_is_said(tmp_path: Path) -> None:
    torch.save({"model": TENSORS, 5: [1]}, tmp_path / "file.ckpt")
    with pytest.raises(CheckpointError, match=r"holds dict \(model: dict, 5: list\); save the state dict"):
        read_checkpoint(tmp_path / "file.ckpt")


def test_safetensors_without_a_tensor_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "model.safetensors", {}, {"about": "nothing"})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: must hold tensors, and has none"):
        read_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:Validating sparse")
@pytest.mark.parametrize("kind", ["coo", "csr", "meta"])
def test_a_tensor_that_has_not_all_its_values_is_refused(tmp_path: Path, kind: str) -> None:
    whole = torch.eye(2)
    odd = whole.to("meta") if kind == "meta" else whole.to_sparse(layout=getattr(torch, f"sparse_{kind}"))
    torch.save({**TENSORS, "odd": odd}, tmp_path / "file.ckpt")
    with pytest.raises(CheckpointError, match="these are sparse or on the meta device: odd; save"):
        read_checkpoint(tmp_path / "file.ckpt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("no.ckpt", "no.safetensors"):
        with pytest.raises(CheckpointError, match=name):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("content", [b"hello world", b"\x80\x02}q\x00(U", b"\x80\x02t.", b"\x80\x02h\x09."])
def test_what_is_no_checkpoint_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pt: (must be a whole file|a pickle may hold)"):
        read_checkpoint(file)


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors"])
@pytest.mark.parametrize(
    ("content", "meaning"),
    [
        (b"\n<!DOCTYPE html><html><body>403</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS"),
    ],
)
def test_what_a_failed_download_left_is_named(
    tmp_path: Path, name: str, content: bytes, meaning: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name}.*{meaning}.*fetch it again"):
        read_checkpoint(tmp_path / name)
