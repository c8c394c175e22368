"""Bases to draw with: placed ones, folders of diffusers', what is no base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oft.errors import CheckpointError
from oft.generation.bases import open_base
from oft.models.base import CARD_NAME, load_base
from oft.settings.training import Base as BaseSettings


def settings(source: Path | str) -> BaseSettings:
    return BaseSettings(source=str(source), variant=None, config="sd15", tokenizer=None, use_ema=True)


def test_a_placed_base_has_its_hash(base_folder: Path) -> None:
    opened, placed = open_base(settings(base_folder), "cpu"), load_base(base_folder)
    assert (opened.hash, opened.origin) == (placed.hash, placed.origin)


def test_the_same_folder_without_its_card_has_the_same_hash(base_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(base_folder, folder, ignore=shutil.ignore_patterns(CARD_NAME))
    assert open_base(settings(folder), "cpu").hash == load_base(base_folder).hash


@pytest.mark.parametrize("name", ["nowhere", "owner/name", "README"])
def test_what_is_no_base_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "README").write_text("text", encoding="utf-8")
    with pytest.raises(CheckpointError, match=name):
        open_base(settings(name), "cpu")
    assert not list((tmp_path / "cache").rglob("*.json"))
