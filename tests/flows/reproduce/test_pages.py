from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from flows.commands import run_dvc
from flows.reproduce.pages import (
    LAST_METRICS,
    Metrics,
    draw_validation_sheets,
    exchange_metrics,
    find_grids,
    picture_address,
    read_metrics,
    read_titles,
    render_metrics,
    render_timeline,
    scalars,
)
from flows.reproduce.run_table import RunTable, Status
from tests.conftest import ROOT
from tests.flows.conftest import MakeRepository
from tests.flows.reproduce.conftest import write_validation

METRICS: Metrics = {
    "runs/a/oft/metrics.json": {"miou": 0.123456, "num_images": 8, "energy_change": 1e-10},
    "data/counts.json": {"kept": 7, "dropped.too_small": 1},
    "runs/a/none/metrics.json": {"miou": 0.5, "num_images": 8},
}


def test_nested_metrics_are_joined_by_points_and_lists_left_out() -> None:
    assert scalars({"a": {"b": {"c": 1}}, "d": [1], "e": 2.0}) == {"a.b.c": 1, "e": 2.0}


def test_the_workspaces_metrics_are_those_dvc_knows(make_repository: MakeRepository) -> None:
    root = make_repository()
    assert read_metrics(root) == {}
    assert run_dvc(["repro"], root=root, log=lambda _: None).exit_code == 0
    assert read_metrics(root) == {"metrics.json": {"size": 3, "share": 0.123456}}


def test_adapters_of_a_task_stand_side_by_side_and_other_files_by_their_metrics() -> None:
    assert render_metrics(METRICS, {}) == (
        "| runs/a | none | oft |\n"
        "| --- | ---: | ---: |\n"
        "| miou | 0.5 | 0.1235 |\n"
        "| num_images | 8 | 8 |\n"
        "| energy_change |  | 1e-10 |\n"
        "\n"
        "|  | kept | dropped.too_small |\n"
        "| --- | ---: | ---: |\n"
        "| data/counts | 7 | 1 |"
    )
    assert render_metrics({}, {}) == "No metrics yet."


def test_tables_say_what_they_are_about_and_whose_judges_gave_the_figures() -> None:
    judged = {path: {**values, "judges": "miniature"} for path, values in METRICS.items() if "runs" in path}
    titles = {"runs/a": "Edges to picture (miniature world)", "data/counts.json": "miniature world"}
    page = render_metrics({**METRICS, **judged}, {}, titles)
    assert "| runs/a: Edges to picture (miniature world) | none | oft |" in page
    assert "| miou (miniature segmenter) | 0.5 | 0.1235 |" in page and "| num_images | 8 | 8 |" in page
    assert "| data/counts: miniature world | 7 | 1 |" in page


def test_titles_come_from_the_settings_of_this_pipeline(tmp_path: Path) -> None:
    titles = read_titles(ROOT)
    assert titles["runs/segm_ade20k"] == "Region map to picture (miniature world, in ADE20K's layout)"
    assert titles["data/raw/coco.counts.json"] == "miniature world, in COCO's layout"
    assert read_titles(tmp_path) == {}


def test_changes_since_the_run_before_stand_in_brackets(tmp_path: Path) -> None:
    (tmp_path / LAST_METRICS).parent.mkdir(parents=True)
    assert exchange_metrics(tmp_path, METRICS) == {}
    better = {**METRICS, "runs/a/oft/metrics.json": {"miou": 0.223456, "num_images": 8}}
    before = exchange_metrics(tmp_path, better)
    assert before == METRICS
    page = render_metrics(better, before)
    assert "| miou | 0.5 | 0.2235 (+0.1) |" in page and "| num_images | 8 | 8 |" in page
    (tmp_path / LAST_METRICS).write_text("{")  # cut short by a kill: as if there had been none
    assert exchange_metrics(tmp_path, METRICS) == {}


def test_the_timeline_shows_when_each_stage_ran_and_what_overlapped() -> None:
    table = RunTable(["a", "b", "c", "d"])
    for row, (began, ended) in zip(table.rows, ((0.0, 10.0), (5.0, 15.0), (15.0, 20.0)), strict=False):
        row.began, row.ended, row.status = began, ended, Status.DONE
    table.end("d", Status.CACHED)
    page = render_timeline(table)
    assert "25 s of stages in 20 s; two or more at once for 5 s." in page
    assert "| b | done | 5.0 | 10.0 | `" + "·" * 10 + "█" * 20 + "·" * 10 + "` |" in page
    assert page.endswith("cached: d")


def test_a_training_has_a_sheet_of_its_grids_in_the_order_of_steps(tmp_path: Path) -> None:
    assert draw_validation_sheets(tmp_path) == {}  # no settings of this pipeline
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    assert draw_validation_sheets(tmp_path) == {}  # nothing trained yet
    write_validation(tmp_path / "runs/canny_coco/oft", (200, 20, 100))
    write_validation(tmp_path / "runs/canny_coco/of_an_earlier_profile", (1,))
    sheets = draw_validation_sheets(tmp_path)
    assert list(sheets) == ["canny_coco-oft"]
    head, _, content = sheets["canny_coco-oft"].partition(",")
    assert head == "data:image/jpeg;base64"
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    column = sheet[:, sheet.shape[1] // 2, 0].astype(int)
    places = [np.flatnonzero(abs(column - step) < 5).mean() for step in (20, 100, 200)]
    assert places == sorted(places)


def test_grids_are_found_and_carried_by_their_address(tmp_path: Path) -> None:
    (tmp_path / "report" / "grids").mkdir(parents=True)
    (tmp_path / "report" / "grids" / "canny_coco.png").write_bytes(b"picture")
    found = find_grids(tmp_path)
    assert list(found) == ["canny_coco"]
    head, _, content = picture_address(found["canny_coco"]).partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(content) == b"picture"
