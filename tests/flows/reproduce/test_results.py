"""The last lines of a run: the headline table, where adapters lie, the next command."""

from __future__ import annotations

from pathlib import Path

from flows.reproduce.results import describe_results
from oft.storage import write_json


def row(task: str, adapter: str, kind: str = "control") -> dict[str, object]:
    return {
        "task": task,
        "kind": kind,
        "title": task,
        "adapter": adapter,
        "adapter_title": adapter.upper(),
        "is_hint": False,
        "metric": "miou",
        "metric_title": "Mean IoU",
        "direction": "higher",
        "value": 0.5,
        "base": 0.1,
        "hint": None,
        "ceiling": 0.9,
        "over": "base",
        "difference": [0.4, 0.3, 0.5],
        "num_conditions": 96,
    }


def test_without_a_report_nothing_is_said(tmp_path: Path) -> None:
    assert describe_results(tmp_path) == ""
    (tmp_path / "report").mkdir()
    (tmp_path / "report/headlines.json").write_text("{", encoding="utf-8")
    assert describe_results(tmp_path) == ""


def test_a_subject_is_what_is_drawn_next(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    rows = [row("segm_ade20k", "oft"), row("subject_rex", "lora", "subject")]
    write_json(tmp_path / "report/headlines.json", rows)
    lines = describe_results(tmp_path).splitlines()
    assert lines[1].split()[:2] == ["segm_ade20k", "Mean"]
    assert lines[-1] == "Report: report/index.html"  # no adapter is there
    for each in rows:
        (tmp_path / f"runs/{each['task']}/{each['adapter']}/magnitude").mkdir(parents=True)
    last = describe_results(tmp_path).splitlines()[-1]
    assert last == 'Draw with one: oft generate "a sks ..." --adapter runs/subject_rex/lora/magnitude'


def test_a_style_is_drawn_from_words_alone(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    rows = [row("segm_ade20k", "oft"), row("style_ink", "oft", "style")]
    write_json(tmp_path / "report/headlines.json", rows)
    for each in rows:
        (tmp_path / f"runs/{each['task']}/oft/magnitude").mkdir(parents=True)
    last = describe_results(tmp_path).splitlines()[-1]
    assert last == 'Draw with one: oft generate "..." --adapter runs/style_ink/oft/magnitude'


def test_a_run_of_no_adapter_names_its_report(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    write_json(tmp_path / "report/headlines.json", [])
    assert describe_results(tmp_path) == "Report: report/index.html"
