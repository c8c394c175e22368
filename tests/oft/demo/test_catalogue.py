"""What the page offers: the finished adapters of a run, grouped by task."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.demo.catalogue import BASE_ALONE, Catalogue, find_adapters, require_adapters
from oft.errors import ParamsError, UserError
from oft.params import load_params


@pytest.fixture
def catalogue(run: Path) -> Catalogue:
    return find_adapters(load_params())


def test_adapters_are_grouped_by_task_in_the_order_of_the_settings(catalogue: Catalogue) -> None:
    groups = catalogue.by_task()
    tasks = [task for task in load_params().all_tasks if task in groups]
    assert list(groups) == tasks
    assert set(tasks) == {"canny_coco", "segm_ade20k", "subject_robot_toy"}
    labels = [column.label for column in groups["canny_coco"]]
    names = [name for name in load_params().adapters if name in ("oft", "hint")]
    assert labels == [f"canny_coco / {name}" for name in names]
    assert not catalogue.damaged


def test_a_column_says_what_condition_its_adapter_takes(catalogue: Catalogue) -> None:
    found = {column.label: (column.takes_condition, column.condition) for column in catalogue.adapters}
    assert found == {
        "canny_coco / oft": (True, "canny"),
        "canny_coco / hint": (True, "canny"),
        "segm_ade20k / oft": (True, "segmentation"),
        "subject_robot_toy / lora": (False, None),
    }


def test_what_no_setting_knows_comes_last_and_what_is_no_adapter_is_named(run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run / "runs", tmp_path / "runs")
    shutil.copytree(tmp_path / "runs/canny_coco/oft", tmp_path / "runs/a_past_task/oft")
    (tmp_path / "runs/canny_coco/coft/magnitude").mkdir(parents=True)
    (tmp_path / "runs/angles").mkdir()
    found = find_adapters(load_params(), tmp_path / "runs")
    assert (found.adapters[-1].label, found.adapters[-1].condition) == ("a_past_task / oft", None)
    assert len(found.adapters) == 5
    (damaged,) = found.damaged
    assert "canny_coco/coft/magnitude" in damaged


def test_the_base_comes_first_whatever_the_order_of_choosing(catalogue: Catalogue) -> None:
    chosen = catalogue.choose(["subject_robot_toy / lora", BASE_ALONE.label, "canny_coco / oft"])
    assert [column.label for column in chosen] == [
        BASE_ALONE.label,
        "canny_coco / oft",
        "subject_robot_toy / lora",
    ]
    assert chosen[0].folder is None


@pytest.mark.parametrize("labels", [[], ["../../etc"], ["canny_coco / oft", "canny_coco/oft"]])
def test_only_columns_of_the_run_can_be_chosen(catalogue: Catalogue, labels: list[str]) -> None:
    with pytest.raises(ParamsError, match="columns"):
        catalogue.choose(labels)


def test_without_an_adapter_the_remedy_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make repro"):
        require_adapters(find_adapters(load_params(), tmp_path))
