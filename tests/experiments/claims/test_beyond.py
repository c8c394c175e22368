"""Experiments beyond pictures as claims and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.claims.beyond import beyond
from experiments.tidy import Row, read_table, to_table, write_table

ERRORS = {"none": 0.5, "oft": 0.1, "lora": 0.2, "boft": 0.2, "full": 0.3}


def _write_cdr(folder: Path) -> None:
    rows = []
    for adapter, error in ERRORS.items():
        for seed in (0, 1, 2):
            own = np.random.default_rng([seed, *map(ord, adapter)])
            for place in range(5):
                start = ("cdr", f"equation {place}", adapter, "", seed, f"equation {place}")
                value = error + 0.01 * place + own.normal(0, 1e-3)
                rows += [Row(*start, "relative_l2", value), Row(*start, "trained_parameters", 1440.0)]
    write_table(to_table(rows), folder / "cdr.parquet")


def test_a_claim_and_a_table_are_made_of_each_experiment(tmp_path: Path) -> None:
    """OFT has the least error everywhere: the claim holds, and its error alone is bold."""
    _write_cdr(tmp_path)

    claims, (table,) = beyond(tmp_path)

    assert [(claim.name, claim.verdict) for claim in claims] == [("cdr", "holds"), ("text", "not measured")]
    assert [contrast.expected for contrast in claims[0].contrasts] == ["below"] * 3
    assert claims[0].contrasts[0].num_conditions == 5
    assert [row.name for row in table.rows] == ["none", "oft", "lora", "boft", "full"]
    assert [row.best for row in table.rows] == [(), ("relative_l2",), (), (), ()]
    assert table.rows[0].is_reference
    assert table.rows[1].cells["trained_parameters"].value == 1440.0
    assert [column.key for column in table.columns] == ["relative_l2", "trained_parameters"]


def test_without_their_tables_nothing_was_measured(tmp_path: Path) -> None:
    """The claims stand there all the same."""
    claims, tables = beyond(tmp_path)

    assert {claim.verdict for claim in claims} == {"not measured"}
    assert tables == []


def test_an_adapter_that_was_not_run_keeps_a_claim_from_holding(tmp_path: Path) -> None:
    _write_cdr(tmp_path)
    table = read_table(tmp_path / "cdr.parquet")
    write_table(table[table["adapter"] != "boft"], tmp_path / "cdr.parquet")

    (claim, _), _ = beyond(tmp_path)

    assert claim.verdict == "undecided"
    assert "(1 more not measured yet)" in claim.answer
