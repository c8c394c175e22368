from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oft.pictures import encode_png
from oft.report.reading import (
    decode_picture,
    draw_samples,
    index_samples,
    read_angles,
    read_card,
    read_class_pixels,
    read_curves,
    read_mapping,
    read_output,
    read_records,
    read_samples,
)
from oft.report.results import Note, Picture

FOLDER = "runs/segm_ade20k/oft/samples"


def test_samples_come_back_as_written(
    tmp_path: Path, write_samples: Callable[..., None], draw_picture: Callable[..., Picture]
) -> None:
    entries = [(f"k-{place}", index, draw_picture(place, index), "p") for place in (1, 0) for index in (0, 1)]
    write_samples(tmp_path / FOLDER, entries[:3], shard=0)
    write_samples(tmp_path / FOLDER, entries[3:], shard=1)
    notes: list[Note] = []
    stored = index_samples(tmp_path, FOLDER, 2, notes)
    assert list(stored) == sorted((key, index) for key, index, _, _ in entries)
    for key, index, picture, prompt in entries:
        found = stored[key, index]
        np.testing.assert_array_equal(read_output(tmp_path, found, notes), picture)
        assert (found.request.prompt, found.request.seed) == (prompt, 1000 + index)
    assert notes == []
    assert list(index_samples(tmp_path, FOLDER, 1, notes)) == sorted((key, i) for key, i, _, _ in entries[:3])


@pytest.mark.parametrize("size_bytes", [0, 100, 512, 700, 4096, 4196, 6144])
def test_cut_archive_is_a_note_and_keeps_what_is_whole(run_folder: Path, size_bytes: int) -> None:
    archive = run_folder / FOLDER / "0.tar"
    archive.write_bytes(archive.read_bytes()[:size_bytes])
    notes: list[Note] = []
    stored = index_samples(run_folder, FOLDER, 1, notes)
    assert len(stored) < 8
    assert notes and all(note.piece == "samples" and f"{FOLDER}/0.tar" in note.text for note in notes)
    whole = [read_output(run_folder, entry, notes) for entry in stored.values()]
    assert all(picture is not None for picture in whole)


def test_notes_never_name_the_folder(run_folder: Path) -> None:
    notes: list[Note] = []
    (run_folder / FOLDER / "0.tar").write_bytes(b"no archive at all" * 100)
    index_samples(run_folder, FOLDER, 1, notes)
    shard = run_folder / "data" / "shards" / "segm_ade20k" / "val-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-600])
    read_samples(run_folder, "segm_ade20k", "val", {"val00"}, notes)
    draw_samples(run_folder, "segm_ade20k", "val", 99, np.random.default_rng(2), notes)
    draw_samples(run_folder, "no_such_task", "val", 1, np.random.default_rng(0), notes)
    assert {note.piece for note in notes} == {"samples", "shards"}
    assert not any(str(run_folder) in note.text for note in notes)


def test_samples_of_the_shards_are_drawn_by_the_generator(run_folder: Path) -> None:
    notes: list[Note] = []

    def draw(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [sample.key for sample in draw_samples(run_folder, "segm_ade20k", "train", 3, rng, notes)]

    assert draw(1) == draw(1)
    assert len(draw(1)) == len(set(draw(1))) == 3
    assert len({tuple(draw(seed)) for seed in range(10)}) > 1
    assert notes == []


def test_known_samples_are_kept_when_others_are_missing(run_folder: Path) -> None:
    notes: list[Note] = []
    found = read_samples(run_folder, "segm_ade20k", "val", {"val01", "nobody"}, notes)
    assert list(found) == ["val01"]
    assert "nobody" in notes[0].text


def test_curves_leave_out_what_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "train" / "dvclive" / "plots" / "metrics" / "train" / "loss.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("timestamp\tstep\tloss\n7\t0\t2.5\n7\t1\tnan\n7\t2\t1.5\n7\t3")
    (path.parent / "odd.tsv").write_text("loss\n1\n")
    notes: list[Note] = []
    (curve,) = read_curves(tmp_path, "train", "train", notes)
    assert (curve.name, curve.steps, curve.values) == ("train/loss", (0.0, 2.0), (2.5, 1.5))
    assert "odd.tsv" in notes[0].text


@pytest.mark.parametrize("content", ["", "{", "[1]", "[]", "3", "\xff"])
def test_damaged_values_are_notes(tmp_path: Path, content: str) -> None:
    notes: list[Note] = []
    (tmp_path / "metrics.json").write_bytes(content.encode("latin-1"))
    assert read_mapping(tmp_path, "metrics.json", "evaluate", "metrics", notes) == {}
    assert "cannot be read" in notes[0].text


def test_missing_values_name_the_stage(tmp_path: Path) -> None:
    notes: list[Note] = []
    assert read_mapping(tmp_path, "a/metrics.json", "evaluate", "metrics", notes) == {}
    assert read_records(tmp_path, "a/plots.json", "evaluate", "confusion", notes) == []
    assert [note.text for note in notes] == [
        "a/metrics.json is not there; the stage “evaluate” writes it.",
        "a/plots.json is not there; the stage “evaluate” writes it.",
    ]


def test_pixels_by_class_are_read_for_each_picture(pristine_run: Path) -> None:
    notes: list[Note] = []
    found = read_class_pixels(pristine_run, "runs/segm_ade20k/oft/plots/class_pixels.json", notes)
    assert notes == [] and len(found) == 8
    assert set(found["val00", 0]) == {"generated", "reconstruction", "real"}
    assert found["val00", 0]["generated"].keys() == {3, 5}


@pytest.mark.parametrize(
    "row",
    [
        "{}",
        '{"key": "a", "index": 0, "generated": {"x": [1, 2, 3]}}',
        '{"key": "a", "index": 0, "generated": {"1": [1, 2]}}',
        '{"key": "a", "index": 0, "generated": 3}',
    ],
)
def test_damaged_pixels_by_class_are_a_note(tmp_path: Path, row: str) -> None:
    notes: list[Note] = []
    (tmp_path / "class_pixels.json").write_text(f"[{row}]")
    assert read_class_pixels(tmp_path, "class_pixels.json", notes) == {}
    assert [note.piece for note in notes] == ["intervals"] and "cannot be read" in notes[0].text


@pytest.mark.parametrize("card", ["[]", "{", '{"splits": 3}', '{"splits": {"train": {}}}'])
def test_a_damaged_card_is_a_note(run_folder: Path, card: str) -> None:
    notes: list[Note] = []
    assert read_card(run_folder, "segm_ade20k", notes)["Condition"] == "segmentation"
    (run_folder / "data" / "shards" / "segm_ade20k" / "card.json").write_text(card)
    assert notes == [] and read_card(run_folder, "segm_ade20k", notes) == {}
    assert "data/shards/segm_ade20k/card.json is there but cannot be read" in notes[0].text


def test_bytes_that_are_no_picture_decode_to_none() -> None:
    assert decode_picture(None) is None
    assert decode_picture(b"") is None
    assert decode_picture(b"\x89PNG\r\n\x1a\n" + b"0" * 40) is None


def test_the_grid_of_angles_is_cut_into_its_pictures(
    pristine_run: Path, draw_picture: Callable[..., Picture]
) -> None:
    notes: list[Note] = []
    angles = read_angles(pristine_run, notes)
    assert angles is not None and notes == []
    assert [len(row) for row in angles.rows] == [4, 4]
    for place, row in enumerate(angles.rows):
        for column, picture in enumerate(row):
            np.testing.assert_array_equal(picture, draw_picture(place, column))
    assert angles.metrics["psnr_angle"] == 21.75


def test_angles_that_were_not_run_are_no_note(tmp_path: Path) -> None:
    notes: list[Note] = []
    assert read_angles(tmp_path, notes) is None and notes == []


@pytest.mark.parametrize("shape", [(16, 15, 3), (17, 64, 3), (1, 2, 3), None])
def test_a_grid_of_another_shape_is_a_note_and_keeps_the_figures(
    run_folder: Path, shape: tuple[int, int, int] | None
) -> None:
    path = run_folder / "runs" / "angles" / "grid.png"
    path.write_bytes(b"broken" if shape is None else encode_png(np.zeros(shape, np.uint8)))
    notes: list[Note] = []
    angles = read_angles(run_folder, notes)
    assert angles is not None and angles.rows == () and angles.metrics["num_images"] == 12
    (note,) = notes
    assert note.piece == "angles" and "runs/angles/grid.png is there but cannot be read" in note.text


@pytest.mark.parametrize(("missing", "left"), [("grid.png", (0, True)), ("metrics.json", (2, False))])
def test_half_of_the_angles_is_shown_and_the_other_half_named(
    run_folder: Path, missing: str, left: tuple[int, bool]
) -> None:
    (run_folder / "runs" / "angles" / missing).unlink()
    notes: list[Note] = []
    angles = read_angles(run_folder, notes)
    assert angles is not None and (len(angles.rows), bool(angles.metrics)) == left
    assert [note.text for note in notes] == [
        f"runs/angles/{missing} is not there; the stage “angles” writes it."
    ]
