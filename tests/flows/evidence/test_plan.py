"""Which runs there are, and which are still to be made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.claims.catalogue import experiments
from experiments.claims.record import Record
from flows.evidence.plan import choose, only, plan, without_recorded
from flows.trials.trial import Revision
from oft.errors import UserError
from oft.params import parse_params


def test_each_run_is_made_once_and_all_of_a_seed_before_the_next(revision: Revision) -> None:
    """OFT under the profile's settings serves every experiment."""
    known = experiments(parse_params(revision.values))

    planned = plan(revision, known, [0, 1], Path("runs"))

    runs = [run for one in planned for run in one.runs]
    assert len(runs) == len(set(runs))
    assert [one.trial.seed for one in planned] == sorted(one.trial.seed for one in planned)
    assert sum(run.task == "segm_ade20k" and run.adapter == "oft" and not run.setting for run in runs) == 2
    assert {run.seed for run in runs} == {0, 1}


def test_experiments_are_chosen_by_name(revision: Revision) -> None:
    """An unknown one is named with all there are."""
    known = experiments(parse_params(revision.values))

    assert [one.name for one in choose(known, ["data", "steps"])] == ["data", "steps"]
    assert choose(known, []) == known
    with pytest.raises(UserError, match="'size' must be one of adapters, steps"):
        choose(known, ["size"])


def test_a_part_of_the_runs_is_chosen_by_task_and_adapter_and_is_the_same_runs(revision: Revision) -> None:
    """What is left out changes no digest: machines that share the runs measure those of one that has all."""
    every = plan(revision, experiments(parse_params(revision.values)), [0], Path("runs"))

    chosen = only(every, ["segm_ade20k", "style_ink"], ["oft"])

    runs = [run for one in chosen for run in one.runs]
    assert {(run.task, run.adapter) for run in runs} == {("segm_ade20k", "oft"), ("style_ink", "oft")}
    digests = {one.run(part): one.trial.digest_of(part) for one in every for part in one.trial.parts}
    assert all(
        digests[one.run(part)] == one.trial.digest_of(part) for one in chosen for part in one.trial.parts
    )
    assert only(every, [], []) == every
    with pytest.raises(UserError, match="--tasks 'segm' must be one of segm_ade20k"):
        only(every, ["segm"], [])
    with pytest.raises(UserError, match="--adapters 'dora' must be one of none, hint, oft"):
        only(every, [], ["dora"])


def test_what_is_recorded_is_not_run_again_unless_code_changed(revision: Revision) -> None:
    """With --any-code what other code measured counts too."""
    known = choose(experiments(parse_params(revision.values)), ["sharing"])
    (planned,) = plan(revision, known, [0], Path("runs"))
    (run,) = planned.runs
    (part,) = planned.trial.parts
    same = {run: Record("c0ffee", planned.trial.digest_of(part))}
    older = {run: replace(same[run], digest="seed-0-older")}

    assert without_recorded([planned], {}, any_code=True) == [planned]
    assert without_recorded([planned], same, any_code=False) == []
    assert without_recorded([planned], older, any_code=False) == [planned]
    assert without_recorded([planned], older, any_code=True) == []
