"""What claims and charts ask of is what the experiments run."""

from __future__ import annotations

from experiments.claims.catalogue import experiments
from experiments.claims.statements import statements
from experiments.claims.statistics import Arm
from experiments.claims.verdicts import Comparison
from flows.trials.changes import apply_changes
from oft.params import Params, parse_params
from oft.profiles import compose_profile
from tests.conftest import ROOT


def _planned(params: Params) -> set[tuple[str, Arm]]:
    return {
        (task, Arm(adapter, setting.label))
        for experiment in experiments(params)
        for family in experiment.families
        for task in family.tasks
        for adapter in family.adapters
        for setting in family.settings
    }


def test_every_comparison_of_a_claim_is_run(compared: Params) -> None:
    """No claim waits for a run that no experiment makes."""
    planned = _planned(compared)
    asked: list[Comparison] = [one for claim in statements(compared) for one in claim.comparisons]

    assert all(claim.comparisons for claim in statements(compared))
    assert {(one.task, arm) for one in asked for arm in (one.arm, one.other)} <= planned


def test_every_setting_is_valid_and_has_a_label_of_its_own(compared: Params) -> None:
    """Two settings under one label would take each other's place in the table."""
    values = compose_profile(ROOT / "conf", "compare")
    by_label: dict[str, object] = {}
    for experiment in experiments(compared):
        for family in experiment.families:
            for setting in family.settings:
                parse_params(apply_changes(values, setting.changes))
                assert by_label.setdefault(setting.label, setting.changes) == setting.changes
    assert len(by_label) > 15


def test_claims_have_names_that_are_addresses(compared: Params) -> None:
    """Letters, digits and hyphens, each once."""
    names = [claim.name for claim in statements(compared)]

    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() for name in names)
