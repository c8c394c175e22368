"""What is measured is a real training and a real sampling; here on the miniature base."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import finetuning
from oft.models.base import load_base
from oft.params import Params


def test_a_finetuning_is_measured_from_pictures_to_pictures(base_folder: Path, params: Params) -> None:
    train = params.train.model_copy(
        update={"max_train_steps": 3, "warmup_steps": 0, "batch_size": 2, "mixed_precision": "fp32"}
    )
    sample = params.sample.model_copy(update={"num_inference_steps": 1, "batch_size": 2})
    measured = finetuning.measure(
        load_base(base_folder), params.model_copy(update={"train": train, "sample": sample})
    )
    encoded, trained, sampled = measured["rows"]
    assert len(encoded["run_seconds"]) == finetuning.ENCODED_BATCHES - 1
    assert len(trained["run_seconds"]) == 2  # the first step warms up
    assert len(sampled["run_seconds"]) == finetuning.SAMPLED_BATCHES - 1
    for row in measured["rows"]:
        assert row["pictures_per_second"] == pytest.approx(2 / row["median_seconds"])
        assert row["peak_mib"] is None  # torch counts it on a GPU alone


def test_settings_are_those_of_the_profile_for_a_short_training() -> None:
    params = finetuning.settings()
    assert params.resolution_px == 512 and params.train.learning_rate == 1e-5
    assert params.train.max_train_steps == 50 and params.train.batch_size == params.sample.batch_size == 4


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho first >&2\necho no memory >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(RuntimeError, match=r"^no memory$"):
        finetuning.measure_finetuning()
