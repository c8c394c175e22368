"""However often it is interrupted, the evidence ends as it would have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.claims.catalogue import experiments
from experiments.claims.record import Cost, read_records
from experiments.claims.table import Run, runs_in
from experiments.tidy import read_table
from flows.evidence.plan import Planned, choose, plan
from flows.evidence.run import RECORDS, TABLE, add_evidence, run_evidence
from flows.trials.trial import Revision
from oft.errors import DataError
from oft.params import parse_params
from tests.flows.evidence.conftest import Stages

NAMES = ["sharing", "data"]


def _planned(revision: Revision, seeds: Sequence[int] = (0,)) -> list[Planned]:
    known = choose(experiments(parse_params(revision.values)), NAMES)
    return plan(revision, known, seeds, Path(".trials/runs"))


def _run(revision: Revision, out: Path, seeds: Sequence[int] = (0,), *, any_code: bool = False) -> None:
    run_evidence(Path.cwd(), revision.commit, _planned(revision, seeds), out, any_code=any_code)


def test_interrupted_three_times_it_ends_as_if_it_was_not(
    revision: Revision, stages: Stages, tmp_path: Path
) -> None:
    """The table's bytes are the same; what was measured before an interruption is not run again."""
    for number in (2, 5, 9):
        stages.fails_after = number
        with pytest.raises(KeyboardInterrupt):
            _run(revision, tmp_path / "interrupted")
    stages.fails_after = None
    _run(revision, tmp_path / "interrupted")
    made_with_interruptions = list(stages.made)
    (tmp_path / ".trials").rename(tmp_path / "elsewhere")
    stages.made.clear()
    _run(revision, tmp_path / "whole")

    tables = [(tmp_path / name / TABLE).read_bytes() for name in ("interrupted", "whole")]
    assert tables[0] == tables[1]
    assert set(stages.made) == set(made_with_interruptions)
    assert len(stages.made) == 13


def test_on_another_machine_the_table_alone_says_what_is_left(
    revision: Revision, stages: Stages, tmp_path: Path
) -> None:
    """Another seed runs by itself, and an edit of the settings runs all again."""
    _run(revision, tmp_path / "out")
    (tmp_path / ".trials").rename(tmp_path / "elsewhere")
    stages.made.clear()

    _run(revision, tmp_path / "out", (0, 1))

    assert {seed for _, seed, _ in stages.made} == {1}
    assert {run.seed for run in runs_in(read_table(tmp_path / "out" / TABLE))} == {0, 1}
    changed = revision._replace(code="other code")
    stages.made.clear()
    _run(changed, tmp_path / "out", any_code=True)
    assert stages.made == []
    _run(changed, tmp_path / "out")
    assert len(stages.made) == 13


def test_machines_that_share_the_seeds_end_with_the_table_of_one(
    revision: Revision, stages: Stages, tmp_path: Path
) -> None:
    """Runs of other code are left out, unless they are to count; nothing is added twice."""
    one, here, there = (tmp_path / name for name in ("one", "here", "there"))
    _run(revision, one, (0, 1))
    _run(revision, here, (0,))
    _run(revision, there, (1,))
    planned = _planned(revision, (0, 1))

    changed = _planned(revision._replace(code="other code"), (0, 1))
    assert add_evidence(changed, there, here) == f"{there}: 0 of 13 runs are new here."
    assert add_evidence(planned, there, here) == f"{there}: 13 of 13 runs are new here."
    for name in (TABLE, RECORDS):
        assert (here / name).read_bytes() == (one / name).read_bytes()
    assert add_evidence(planned, there, here) == f"{there}: 0 of 13 runs are new here."
    assert add_evidence(changed, there, tmp_path / "new", any_code=True).endswith(
        "13 of 13 runs are new here."
    )


def test_only_a_whole_folder_of_evidence_is_added(revision: Revision, stages: Stages, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no scores\.parquet; give --add a folder"):
        add_evidence(_planned(revision), tmp_path, tmp_path / "out")
    _run(revision, tmp_path / "there")
    (tmp_path / "there" / TABLE).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"scores\.parquet"):
        add_evidence(_planned(revision), tmp_path / "there", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_training_cost_is_recorded_beside_the_table(
    revision: Revision, stages: Stages, tmp_path: Path
) -> None:
    """Seconds a step and memory; a training that came from a cache has no cost."""
    _run(revision, tmp_path / "out")

    records = read_records(tmp_path / "out" / RECORDS)
    found = records[Run("segm_ade20k", "oft", "blocks=4, shared", 0)]
    assert found.cost == Cost(2.0, 1_000_000)
    assert found.commit == revision.commit
    assert set(records) == set(runs_in(read_table(tmp_path / "out" / TABLE)))


def test_a_dry_run_makes_nothing(
    revision: Revision, stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what would run."""
    run_evidence(Path.cwd(), revision.commit, _planned(revision), tmp_path / "out", dry_run=True)

    assert stages.made == []
    assert not (tmp_path / "out").exists()
    printed = capsys.readouterr().out
    assert "13 of 13 runs to make" in printed
    assert "[data=5%]" in printed
