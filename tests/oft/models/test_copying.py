"""Files of a model's folder are copied by name, as plain files, and from nowhere else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from oft.errors import CheckpointError
from oft.models.copying import copy_plain, listed_files, part_files


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere" / "secret.json")
    root = tmp_path / "model"
    (root / "unet").mkdir(parents=True)
    (root / "unet" / "config.json").symlink_to(secret)
    with pytest.raises(CheckpointError, match=r"unet/config\.json: a model's files must lie in its folder"):
        copy_plain(root / "unet" / "config.json", tmp_path / "out" / "config.json", root)
    (root / "vae").symlink_to(secret.parent)
    with pytest.raises(CheckpointError, match=r"must lie in its folder, and this is a link to .*secret"):
        copy_plain(root / "vae" / "secret.json", tmp_path / "out" / "secret.json", root)
    assert not (tmp_path / "out").exists()
    (root / "other.json").symlink_to(write(root / "own.json", "own"))
    copy_plain(root / "other.json", tmp_path / "out" / "other.json", root)
    copied = tmp_path / "out" / "other.json"
    assert copied.read_text() == "own" and not copied.is_symlink()


def test_a_folder_that_is_itself_a_link_is_the_users_choice(tmp_path: Path) -> None:
    write(tmp_path / "model" / "config.json", "own")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    copy_plain(tmp_path / "link" / "config.json", tmp_path / "out.json", tmp_path / "link")
    assert (tmp_path / "out.json").read_text() == "own"


def test_links_of_the_hubs_cache_lead_into_the_blobs_of_their_own_repository(tmp_path: Path) -> None:
    own = tmp_path / "models--owner--name"
    snapshot = own / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to(write(own / "blobs" / "abc", "own"))
    copy_plain(snapshot / "config.json", tmp_path / "out.json", snapshot)
    assert (tmp_path / "out.json").read_text() == "own"
    (snapshot / "vocab.json").symlink_to(write(tmp_path / "models--other--name" / "blobs" / "abc"))
    with pytest.raises(CheckpointError, match=r"vocab\.json: a model's files must lie in its folder"):
        copy_plain(snapshot / "vocab.json", tmp_path / "out.json", snapshot)


def test_outs_that_dvc_has_linked_to_its_cache_are_followed(tmp_path: Path) -> None:
    cached = write(tmp_path / "cache" / "files" / "md5" / "ab" / ("0" * 30), "own")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").symlink_to(cached)
    copy_plain(tmp_path / "base" / "config.json", tmp_path / "out.json", tmp_path / "base")
    assert (tmp_path / "out.json").read_text() == "own"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json: must be a plain file"):
        copy_plain(tmp_path / "config.json", tmp_path / "out.json", tmp_path)


def test_pickles_code_and_variants_are_not_on_the_list(tmp_path: Path) -> None:
    names = [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model-00001-of-00002.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.non_ema.safetensors",
        "diffusion_pytorch_model.bin",
        "modeling.py",
        "adapter_config.json",
    ]
    for name in names:
        write(tmp_path / name)
    plain = [path.name for path in listed_files(tmp_path, part_files()["unet"])]
    assert plain == sorted(names[:4])
    half = [path.name for path in listed_files(tmp_path, part_files("fp16")["unet"])]
    assert half == ["config.json", "diffusion_pytorch_model.fp16.safetensors"]
    assert not list(listed_files(tmp_path, re.compile("model")))
