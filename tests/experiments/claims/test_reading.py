from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.claims.findings import Findings
from experiments.claims.reading import read_findings
from oft.errors import DataError
from tests.experiments.claims.sample import make_findings


@pytest.fixture(scope="module")
def findings() -> Findings:
    return make_findings()


@pytest.fixture
def values(findings: Findings) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(findings.to_json()))
    return loaded


def write(folder: Path, values: Any) -> Path:
    path = folder / "findings.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_what_was_written_is_read_back(findings: Findings, values: dict[str, Any], tmp_path: Path) -> None:
    assert read_findings(write(tmp_path, values)) == findings


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.pop("seeds"), "seeds: Field required"),
        (lambda f: f.update(extra=1), "extra: Unexpected"),
        (lambda f: f.update(num_runs="171"), "num_runs: Input should be a valid integer"),
        (lambda f: f.update(level=95), "level: a confidence lies between 0 and 1, not 95"),
        (lambda f: f["claims"][0].update(verdict="proven"), "claims.0.verdict"),
        (lambda f: f["claims"][0].update(name="a b"), "'a b' must be of letters"),
        (lambda f: f["claims"][0].update(name="speed"), "'claim-speed' stands 2 times"),
        (lambda f: f["claims"][0].update(verdict="not measured"), "yet it has contrasts"),
        (lambda f: f["claims"][0]["contrasts"][0]["estimate"].update(low=9.0), "is not in order"),
        (lambda f: f["claims"][0]["contrasts"][0]["estimate"].update(low=None), "one end of an interval"),
        (lambda f: f["claims"][0]["contrasts"][0]["estimate"].update(value=float("nan")), "is not finite"),
        (lambda f: f["charts"][0].update(claim="nobody"), "'nobody' is none of control,"),
        (lambda f: f["charts"][0]["series"][0]["points"][0].update(x=0.0), "x is 0.0; above 0 is needed"),
        (lambda f: f["tables"][0]["rows"][0].update(best=["speed"]), "'speed' is none of"),
        (lambda f: f["tables"][0]["columns"].pop(0), "cells: 'mean_iou' is none of"),
        (lambda f: f["galleries"][0]["columns"].append(["oft", "OFT"]), "'oft' stands 2 times"),
    ],
)
def test_faults_are_named(
    damage: Callable[[Any], Any], message: str, values: dict[str, Any], tmp_path: Path
) -> None:
    damage(values)
    with pytest.raises(DataError) as fault:
        read_findings(write(tmp_path, values))
    assert message in str(fault.value)
    assert str(tmp_path) in str(fault.value) and "make evidence" in str(fault.value)


def test_a_missing_file_and_one_that_is_no_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_findings(tmp_path / "findings.json")
    (tmp_path / "findings.json").write_text('{"claims": [')
    with pytest.raises(DataError, match="the file: Invalid JSON"):
        read_findings(tmp_path / "findings.json")
