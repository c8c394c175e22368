"""Kept pictures are the run's own, the same conditions for every adapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.claims.findings import Cell, Gallery
from experiments.claims.pictures import cards, copy_pictures, galleries, keep_pictures
from oft.conditions.canny import extract_canny
from oft.params import parse_params
from oft.report.collect import collect
from tests.oft.report.conftest import PARAMS, build_run

ADAPTERS = ("none", "hint", "oft", "coft")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and below ``evidence`` what is kept of it."""
    root = tmp_path_factory.mktemp("run")
    build_run(root)
    params = parse_params(PARAMS)
    for task in ("canny_coco", "subject_duck_toy"):
        for adapter in ADAPTERS:
            if (root / "runs" / task / adapter).is_dir():
                kept = root / "kept" / task / adapter
                kept.mkdir(parents=True)
                keep_pictures(root, params, task, adapter, root / "no judges", kept)
                copy_pictures(kept, root / "evidence" / "pictures" / task / adapter)
    return root


@pytest.fixture(scope="module")
def made(run_folder: Path) -> dict[str, Gallery]:
    """The galleries by name."""
    found = galleries(run_folder / "evidence", parse_params(PARAMS))
    return {gallery.name: gallery for gallery in found}


def _read(folder: Path, file: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(folder / "evidence" / file) as picture:
        return np.asarray(picture.convert("RGB"))


def test_every_column_of_a_row_is_of_the_same_condition(run_folder: Path, made: dict[str, Gallery]) -> None:
    """And pixel for pixel what the adapter drew for it."""
    gallery = made["gallery-canny_coco"]
    report = collect(run_folder, parse_params(PARAMS | {"report": {"num_rows": 64}}))
    (task,) = (one for one in report.tasks if one.name == "canny_coco")
    by_key = {row.key: row for row in task.comparisons}

    assert [name for name, _ in gallery.columns] == ["given", "target", "none", "hint", "oft", "coft"]
    for row in gallery.rows:
        for adapter in ADAPTERS:
            drawn = _read(run_folder, row.cells[adapter].picture)
            np.testing.assert_array_equal(drawn, by_key[row.key].outputs[adapter].picture)


def test_edges_are_extracted_from_what_was_drawn(run_folder: Path, made: dict[str, Gallery]) -> None:
    """Below each picture stands its own condition."""
    cell = made["gallery-canny_coco"].rows[0].cells["oft"]
    thresholds = parse_params(PARAMS).conditions.canny

    assert cell.found is not None
    edges = extract_canny(
        _read(run_folder, cell.picture), thresholds.low_threshold, thresholds.high_threshold
    )
    np.testing.assert_array_equal(_read(run_folder, cell.found), edges)


def test_failures_are_the_worst_by_the_score(made: dict[str, Gallery]) -> None:
    """None of the base alone, whose pictures are no failures of an adapter."""
    failures = made["failures-canny_coco"]

    def scores(cells: list[Cell]) -> list[float]:
        return [cell.score for cell in cells if cell.score is not None]

    assert not any(row.caption.startswith("Base alone") for row in failures.rows)
    shown = scores([row.cells["oft"] for row in made["gallery-canny_coco"].rows])
    worst = scores([row.cells["picture"] for row in failures.rows if row.key.startswith("oft/")])
    assert worst == sorted(worst)
    assert max(worst) <= min(shown)


def test_the_data_s_cards_come_with_the_pictures(run_folder: Path) -> None:
    """What shards say of where their pictures come from, a card for each task."""
    found = cards(run_folder / "evidence", parse_params(PARAMS))

    assert [facts.name for facts in found] == ["card-canny_coco", "card-subject_duck_toy"]
    assert all(facts.rows for facts in found)


def test_the_hero_has_a_row_of_each_task(made: dict[str, Gallery]) -> None:
    """A subject's row is given one of its own pictures, and has no hint encoder."""
    hero = made["hero"]

    assert len(hero.rows) == 2
    assert [name for name, _ in hero.columns] == ["given", "target", "none", "hint", "oft", "coft"]
    assert set(hero.rows[0].cells) == {"given", "target", "none", "hint", "oft", "coft"}
    assert set(hero.rows[1].cells) == {"given", "none", "oft", "coft"}
    # Scores of several metrics cannot stand in one column without their names.
    assert all(cell.score is None for row in hero.rows for cell in row.cells.values())


def test_the_same_run_keeps_the_same_files(run_folder: Path, tmp_path: Path) -> None:
    """Byte for byte."""
    keep_pictures(run_folder, parse_params(PARAMS), "canny_coco", "oft", run_folder / "no judges", tmp_path)

    kept = run_folder / "kept" / "canny_coco" / "oft"
    assert {path.name for path in kept.iterdir()} == {path.name for path in tmp_path.iterdir()}
    assert all(path.read_bytes() == (tmp_path / path.name).read_bytes() for path in kept.iterdir())
