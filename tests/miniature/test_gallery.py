"""docs/conditions.md shows what the code makes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniature.gallery import schematic_face, write_gallery
from oft.conditions import CONDITIONS
from oft.conditions.landmarks import MIRRORED_LANDMARKS
from oft.errors import CheckpointError
from oft.params import Params
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")


def test_the_pictures_are_what_the_command_makes(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_gallery(tmp_path / folder)
    made = {path.name: path for path in (tmp_path / "first").iterdir()}
    shown = {path.name: path for path in (ROOT / "docs" / "conditions").iterdir()}
    assert set(made) == set(shown)
    for name, path in made.items():
        assert path.read_bytes() == (tmp_path / "second" / name).read_bytes()
        # Other machines may round otherwise: a level, in some pixels.
        pictures = [np.asarray(Image.open(file)).astype(int) for file in (path, shown[name])]
        assert pictures[0].shape == pictures[1].shape
        assert np.abs(pictures[0] - pictures[1]).mean() < 0.1, (
            f"{name}: run the command in docs/conditions.md"
        )
    assert sum(path.stat().st_size for path in shown.values()) < 600_000


def test_the_page_has_every_condition_every_picture_and_every_default_model(params: Params) -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(CONDITIONS)
    linked = re.findall(r"\]\((conditions/\w+\.jpg)\)", PAGE)
    assert sorted(linked) == sorted(
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / "conditions").iterdir()
    )
    settings = params.conditions.model_dump().values()
    models = [section["model"].partition("@")[0] for section in settings if "model" in section]
    assert all(model in PAGE for model in models)


def test_a_symmetric_face_is_its_own_mirror_image() -> None:
    face = schematic_face(100)
    mirrored = (face * [-1, 1] + [100, 0])[MIRRORED_LANDMARKS]
    np.testing.assert_allclose(mirrored, face, atol=1e-9)


def test_a_network_without_weights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.chdir(ROOT)
    with pytest.raises(CheckpointError, match=r"conditions\.mlsd\.model .*cannot be fetched \(no network\)"):
        write_gallery(tmp_path, ["mlsd"])
