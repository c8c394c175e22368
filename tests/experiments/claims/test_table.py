"""The tidy table gives back what was measured, and equal numbers are equal bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from experiments.claims.table import Run, measured_of, replace_runs, rows_of, runs_in
from experiments.gains.scores import Measured
from experiments.tidy import read_table, to_table, write_table
from oft.errors import DataError

RUN = Run("segm_ade20k", "oft", "steps=70", 1)
MEASURED = Measured(
    {"miou": 0.5, "trainable_parameters": 12.0},
    [
        {"key": "a/b#c", "index": 0, "aacc": 0.25, "aacc_real": 1.0},
        {"key": "a/b#c", "index": 1, "aacc": 0.5, "aacc_real": 1.0},
    ],
    [
        {"key": "a/b#c", "index": 0, "generated": {"3": [1, 2, 3]}, "real": {"3": [2, 2, 2], "4": [0, 1, 0]}},
        {"key": "a/b#c", "index": 1, "generated": {"7": [0, 5, 6]}, "real": {"7": [5, 5, 5]}},
    ],
)


def test_a_run_comes_back_as_it_was_measured() -> None:
    """Scores, pixels by class and whole-run metrics survive, whatever characters a key has."""
    table = to_table(rows_of(RUN, MEASURED))

    ((run, rows),) = runs_in(table).items()

    assert run == RUN
    assert measured_of(rows) == MEASURED


def test_equal_tables_are_equal_files(tmp_path: Path) -> None:
    """Neither the order of the rows nor the way a table came about shows in the file."""
    other = RUN._replace(seed=2)
    rows = [*rows_of(RUN, MEASURED), *rows_of(other, MEASURED)]
    write_table(to_table(rows), tmp_path / "whole.parquet")
    stepwise = to_table(())
    for run in (other, RUN, other):
        stepwise = replace_runs(stepwise, [run], rows_of(run, MEASURED))
    write_table(stepwise, tmp_path / "stepwise.parquet")

    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "stepwise.parquet").read_bytes()
    pd.testing.assert_frame_equal(read_table(tmp_path / "whole.parquet"), to_table(rows))


def test_a_run_that_is_measured_again_loses_its_old_rows() -> None:
    """And no other run loses any."""
    other = RUN._replace(adapter="lora")
    table = to_table([*rows_of(RUN, MEASURED), *rows_of(other, MEASURED)])

    table = replace_runs(table, [RUN], rows_of(RUN, Measured({"miou": 0.75}, [])))

    found = runs_in(table)
    assert measured_of(found[RUN]) == Measured({"miou": 0.75}, [], [])
    assert measured_of(found[other]) == MEASURED


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match="restore it from git"):
        read_table(path)
    pd.DataFrame({"value": [1.0]}).to_parquet(path)
    with pytest.raises(DataError, match="must have the columns experiment, task"):
        read_table(path)
