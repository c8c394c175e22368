"""--dry-run shows each item of the graph with its settings and data, and does nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oft.errors import ParamsError
from oft.params import Params
from oft.storage import dump_yaml, load_yaml
from stages import acquire
from stages.launch import arguments, dry_run
from tests.conftest import ROOT


@pytest.fixture
def folder(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the default settings and the graph alone."""
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_item_of_the_graph_can_be_shown(folder: Path, params: Params) -> None:
    drawing = {"task": "style_ink", "adapter": "oft", "prompts": ["a cat"], "num_samples": 1}
    settings = params.model_dump(mode="json") | {"style_tasks": ["style_ink"], "drawings": {"ink": drawing}}
    stages = load_yaml((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    items = dict(dry_run.graph_items(stages, settings))
    assert {name.partition("@")[0] for name in items} == set(stages)
    for name, item in items.items():
        shown = dry_run.describe_item(name, item, settings)
        assert shown["writes"] and set(shown["writes"].values()) == {"new"}
        assert "${" not in str(shown)
        assert not any(path.endswith(".py") for path in shown["reads"])


def test_settings_and_data_are_those_of_the_moment(folder: Path, params: Params) -> None:
    out = folder / "data" / "raw" / "ade20k"
    out.mkdir(parents=True)
    shown = load_yaml(dry_run.describe_stage("stages.extract", {"task": "segm_ade20k"}))
    assert shown["stage"] == "extract@segm_ade20k"
    assert shown["reads"] == {"data/raw/ade20k": "there"}
    assert shown["writes"] == {
        "data/conditions/segm_ade20k": "new",
        "data/conditions/segm_ade20k.counts.json": "new",
    }
    assert shown["settings"]["resolution_px"] == params.resolution_px
    assert shown["settings"]["datasets.ade20k.prepare"] == params.datasets["ade20k"].prepare.model_dump()
    assert shown["device"] in ("cpu", "cuda")
    again = load_yaml(dry_run.describe_stage("stages.acquire", {"dataset": "ade20k"}))
    assert again["writes"]["data/raw/ade20k"] == "there, replaced"


def test_what_is_no_item_of_the_graph_is_refused_with_what_is(folder: Path) -> None:
    with pytest.raises(ParamsError, match=r"stages.prior --task other: .*; it has prior@subject_"):
        dry_run.describe_stage("stages.prior", {"task": "other"})


def test_a_stage_ends_before_it_does_anything(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arguments, "module_name", lambda: "stages.acquire")
    with pytest.raises(SystemExit) as ended:
        acquire.main(["--dataset", "ade20k", "--dry-run"])
    assert not ended.value.code
    assert load_yaml(capsys.readouterr().out)["stage"] == "acquire@ade20k"
    assert {path.name for path in folder.iterdir()} == {"params.yaml", "dvc.yaml"}


def test_nothing_is_written_not_even_locks_and_telemetry(folder: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "stages.base", "--dry-run"],
        env={"PYTHONPATH": str(ROOT), "OFT_WARM": "1"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert load_yaml(shown)["writes"] == {"data/models/base": "new"}
    assert {path.name for path in folder.iterdir()} == {"params.yaml", "dvc.yaml"}
