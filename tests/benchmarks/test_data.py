"""The stages and the plain loop make the same pictures and edges, and what they took is told."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import data
from benchmarks.table import data_table


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(data, "DISTINCT_PICTURES", 3)
    data.make_pictures(tmp_path / "pictures", 4)
    return tmp_path / "pictures"


def contents(shard: Path) -> dict[str, Any]:
    """Return pictures as arrays and all else as it stands."""

    def decode(name: str, stored: bytes) -> bytes | NDArray[np.uint8]:
        if name.endswith(".json"):
            return stored
        with Image.open(io.BytesIO(stored)) as image:
            return np.asarray(image.convert("RGB"))

    with tarfile.open(shard) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        return {name: decode(name, stream.read()) for name, stream in files.items() if stream}


def test_the_plain_loop_does_the_same_job_as_the_stages(pictures: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for target, run in ((ours, data.run_stages), (theirs, data.run_plain_loop)):
        target.mkdir()
        run(pictures, target)
    made, expected = contents(ours / "shards" / "train-000000.tar"), contents(theirs / "shard.tar")
    assert sorted(made) == sorted(expected) and len(made) == 3 * 4
    for name, value in expected.items():
        if name.endswith(".json"):
            assert json.loads(value).items() <= json.loads(made[name]).items()
        else:
            np.testing.assert_array_equal(made[name], value)


def test_variants_are_measured_in_turn_each_in_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def taken(name: str, folder: Path) -> dict[str, float]:
        assert len(list((folder / "train").iterdir())) == 2
        asked.append(name)
        seconds = {"stages": 1.0, "plain": 2.0, "work": 0.5, "floor": 0.4}[name] * len(asked)
        return {"seconds": seconds, "cpu_seconds": 3 * seconds, "peak_mib": 6.0 + len(asked)}

    monkeypatch.setattr(data, "_run_in_subprocess", taken)
    result = data.measure_data(rounds=2, count=2)
    assert asked == ["stages", "plain", "work", "floor", "floor", "work", "plain", "stages"]
    row = result["rows"][0]
    assert row["run_seconds"] == [1.0, 8.0] and row["median_seconds"] == 4.5
    assert row["pictures_per_second"] == 2.0 and row["times_plain"] == 4.0
    first = data_table(result).splitlines()[2]
    assert [cell.strip() for cell in first.strip("|").split("|")] == [
        "extract and shard",
        "1.00",
        "4.50",
        "2",
        "4.00",
        "3.00",
        "14",
    ]


@pytest.mark.parametrize("variant", ["work", "floor"])
def test_a_variant_s_process_prints_what_it_took(pictures: Path, variant: str) -> None:
    taken = data._run_in_subprocess(variant, pictures)
    assert taken["seconds"] > 0 and taken["cpu_seconds"] > 0 and taken["peak_mib"] > 10
