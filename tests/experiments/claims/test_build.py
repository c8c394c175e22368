"""Findings are a query of the table: claims, tables, charts, and what they leave out."""

from __future__ import annotations

from pathlib import Path

from experiments.claims.build import build_findings
from experiments.claims.charts import charts
from experiments.claims.record import Cost, Record
from experiments.claims.statistics import Arm
from experiments.claims.table import Run
from experiments.claims.tables import tables
from experiments.tidy import to_table
from oft.params import Params
from tests.experiments.claims.conftest import MakeResults

BASE, HINT, OFT, LORA = Arm("none"), Arm("hint"), Arm("oft"), Arm("lora")
TASK = "canny_coco"


def test_a_table_is_bold_only_where_every_other_adapter_is_worse(results: MakeResults) -> None:
    """OFT is better than the hint encoder and not told apart from LoRA; later LoRA falls behind."""
    close = results({BASE: 0.0, HINT: 0.1, OFT: 0.2, LORA: 0.2})
    apart = results({BASE: 0.0, HINT: 0.1, OFT: 0.2, LORA: 0.15})

    (table,) = tables(close, {})
    assert [row.name for row in table.rows] == ["none", "hint", "oft", "lora"]
    assert all(row.best == () for row in table.rows)
    (table,) = tables(apart, {})
    assert {row.name: row.best for row in table.rows}["oft"] == ("canny_f1",)
    assert sum(bool(row.best) for row in table.rows) == 1
    assert table.rows[0].is_reference
    cell = table.rows[2].cells["canny_f1"]
    assert cell.low is not None
    assert cell.high is not None
    assert cell.low < cell.value < cell.high


def test_cost_stands_beside_quality(results: MakeResults) -> None:
    """The fastest of the seeds, where it is known; no column where it is known of none."""
    found = results({OFT: 0.2, LORA: 0.1}, trainable_parameters={OFT: 1000.0, LORA: 2000.0})
    records = {
        Run(TASK, "oft", "", seed): Record("c0ffee", "digest", Cost(seconds, 10**9))
        for seed, seconds in enumerate((0.5, 0.7, 3.0))
    }

    (table,) = tables(found, records)
    (without,) = tables(found, {})

    assert table.rows[0].cells["seconds_per_step"].value == 0.5
    assert table.rows[0].cells["peak_memory_bytes"].value == 1000.0
    assert "seconds_per_step" not in table.rows[1].cells
    assert "seconds_per_step" not in {column.key for column in without.columns}


def test_a_chart_needs_two_points_of_a_line(results: MakeResults) -> None:
    """Steps of OFT make one; the hint encoder's single training is no line."""
    arms = {Arm("oft", "steps=70"): 0.1, Arm("oft", "steps=140"): 0.15, OFT: 0.2, HINT: 0.1}
    found = results(arms, task="segm_ade20k")

    made = charts(found, {})

    # Of a segmentation the scores are mean IoU's: without pixels there is nothing to draw.
    assert [chart.name for chart in made] == []
    energy = results(arms, task="segm_ade20k", miou=arms, energy_change=dict.fromkeys(arms, 0.0))
    (chart,) = (one for one in charts(energy, {}) if one.name == "chart-energy")
    (series,) = chart.series
    assert [point.x for point in series.points] == [70, 140, 550]


def test_an_empty_table_says_that_nothing_was_measured(compared: Params, tmp_path: Path) -> None:
    """Every claim is there, without a verdict, and the settings beside."""
    findings = build_findings(to_table(()), {}, compared, 100, tmp_path)

    assert {claim.verdict for claim in findings.claims} == {"not measured"}
    assert not findings.tables
    assert not findings.charts
    assert findings.num_runs == 0
    assert {"settings-train", "settings-adapters", "coverage"} <= {facts.name for facts in findings.facts}
