"""Shards and the folder give the same batches, and what reading takes is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import loading
from oft.shards.shards import write_shards


@pytest.fixture
def samples() -> Any:
    return list(loading.make_samples(20, 32, 5))


def test_both_sources_give_the_same_batches(samples: Any, tmp_path: Path) -> None:
    write_shards(samples, tmp_path / "shards", "train", 8)
    loading.write_folder(samples, tmp_path / "folder")
    ours = loading.batches_of_shards(loading.open_shards(tmp_path / "shards"), 1, 3)
    theirs = loading.batches_of_folder(loading.FolderSet(tmp_path / "folder"), 1, 3)
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert one[0].shape == (16, 3, 32, 32)


def test_the_measurement_counts_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "NUM_PICTURES", 5)
    monkeypatch.setattr(loading, "PICTURE_PX", 32)
    monkeypatch.setattr(loading, "_memory_in_subprocess", lambda folder, after: [{"num_samples": after[0]}])
    result = loading.measure_loading(rounds=2, batches=2, memory_after=[30])
    assert result["num_samples"] == 32 and result["memory"] == [{"num_samples": 30}]
    assert [(row["source"], row["workers"]) for row in result["rows"]] == [
        ("shards", 1),
        ("folder", 1),
        ("shards", 2),
        ("folder", 2),
    ]
    for row in result["rows"]:
        assert row["samples_per_second"] == pytest.approx(32 / min(row["run_seconds"]))
        assert len(row["run_seconds"]) == 2


def test_the_process_prints_its_memory(
    samples: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(samples, tmp_path, "train", 8)
    loading.main([str(tmp_path), "16", "40"])
    memory = json.loads(capsys.readouterr().out)
    assert [entry["num_samples"] for entry in memory] == [16, 40]
    assert all(entry["resident_mib"] > 1 for entry in memory)
