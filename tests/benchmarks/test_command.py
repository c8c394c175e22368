"""The command says what it does, writes what it measured and keeps it when interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import command
from benchmarks.cases import Case
from oft.errors import ParamsError
from oft.storage import read_json


@pytest.fixture(autouse=True)
def cases(tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Case]]:
    cases = [
        tiny_case,
        replace(tiny_case, name="second"),
        replace(tiny_case, name="large", micro_batches=10**6),
    ]
    monkeypatch.setattr(command, "all_cases", lambda: cases)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads = torch.get_num_threads()
    yield cases
    torch.set_num_threads(threads)


def test_a_run_writes_results_that_make_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, target = tmp_path / "results.json", tmp_path / "docs" / "benchmarks.md"
    command.main(
        ["--cases", "tiny", "large", "--variants", "oft-r4", "lora-*", "--rounds", "2", "--out", str(out)]
    )
    printed = capsys.readouterr().out
    assert printed.index("large: the frozen base's step takes") < printed.index("OFT, r = 4")
    results = read_json(out)
    (case,) = results["cases"]
    assert [row["variant"] for row in case["rows"]] == ["frozen", "oft-r4", "lora-r16"]
    assert [entry["case"] for entry in results["left_out"]] == ["large"]
    assert results["command"].startswith("python -m benchmarks --cases tiny large")
    command.main(["--table", str(out), "--document", str(target)])
    text = target.read_text(encoding="utf-8")
    assert "PEFT LoRA, rank 16" in text and results["command"] in text


def test_a_dry_run_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--dry-run", "--out", str(tmp_path / "results.json")])
    assert "Left out" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())


def test_an_interrupted_run_keeps_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_then_interrupt(*args: Any) -> Iterator[dict[str, Any]]:
        yield {"title": "t", "device": "cpu", "precision": "float32", "rows": []}
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure_plan", one_then_interrupt)
    out = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        command.main(["--cases", "tiny", "second", "--rounds", "1", "--out", str(out)])
    results = read_json(out)
    assert len(results["cases"]) == 1
    assert [(entry["case"], entry["reason"]) for entry in results["left_out"]] == [
        ("second", command.INTERRUPTED)
    ]


def test_accuracy_can_be_measured_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = dict.fromkeys(("std", "ours", "peft_exact", "peft_neumann", "ours_deviation"), 0.5) | {
        "block_size": 16
    }
    monkeypatch.setattr(command, "measure_accuracy", lambda device: [row])
    out = tmp_path / "results.json"
    command.main(["--cases", "accuracy", "--out", str(out)])
    results = read_json(out)
    assert results["cases"] == [] and results["accuracy"] == [{"device": "cpu", "rows": [row]}]


def test_data_can_be_measured_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "measure_data", lambda rounds: {"rows": [], "rounds": rounds})
    out = tmp_path / "results.json"
    command.main(["--cases", "data", "--rounds", "3", "--out", str(out)])
    results = read_json(out)
    assert results["cases"] == [] and results["data"] == [{"rows": [], "rounds": 3}]


def test_loading_can_be_measured_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"source": "shards", "workers": 1, "samples_per_second": 60.0, "median_samples_per_second": 50.0}
    measured = {
        "num_samples": 64,
        "batch_size": 16,
        "rows": [row],
        "memory": [{"num_samples": 1000, "resident_mib": 7.5}],
    }
    monkeypatch.setattr(command, "measure_loading", lambda rounds: measured | {"rounds": rounds})
    out, target = tmp_path / "results.json", tmp_path / "benchmarks.md"
    command.main(["--cases", "loading", "--rounds", "3", "--out", str(out)])
    results = read_json(out)
    assert results["cases"] == [] and results["loading"] == [measured | {"rounds": 3}]
    command.main(["--table", str(out), "--document", str(target)])
    lines = [line.replace(" ", "") for line in target.read_text(encoding="utf-8").splitlines()]
    assert "|shards|1|60|50|" in lines and "|1,000|7.5|" in lines


FINETUNING = {
    "device": "cuda",
    "resolution_px": 512,
    "batch_size": 4,
    "mixed_precision": "bf16",
    "scheduler": "ddim",
    "num_inference_steps": 50,
    "rows": [
        {
            "title": "sampling",
            "min_seconds": 2.0,
            "median_seconds": 2.5,
            "pictures_per_second": 1.6,
            "peak_mib": 9e3,
        }
    ],
}


def test_finetuning_is_left_out_without_a_gpu(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command.main(["--cases", "finetuning", "--out", str(out)])
    (left_out,) = read_json(out)["left_out"]
    assert left_out["case"] == "finetuning" and "needs a GPU" in left_out["reason"]


@pytest.mark.parametrize("fault", [None, RuntimeError("out of memory")])
def test_finetuning_is_measured_on_a_gpu_or_said_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception | None
) -> None:
    def measured() -> dict[str, Any]:
        if fault is not None:
            raise fault
        return FINETUNING

    monkeypatch.setattr(command, "measure_finetuning", measured)
    monkeypatch.setattr(command, "available_devices", lambda: ["cuda"])
    monkeypatch.setattr(command, "describe_machine", lambda device: {"cpu": "x"})
    monkeypatch.setattr(command, "matmul_tflops", lambda device: 1.0)
    out, target = tmp_path / "results.json", tmp_path / "benchmarks.md"
    command.main(["--cases", "finetuning", "--out", str(out)])
    command.main(["--table", str(out), "--document", str(target)])
    text = target.read_text(encoding="utf-8").replace(" ", "")
    assert ("|sampling|2,000|2,500|1.60|9,000|" in text) == (fault is None)
    assert ("finetuning:RuntimeError:outofmemory" in text) == (fault is not None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--clip-norm", "-1"], "--clip-norm must be at least 0"),
        (["--budget", "nan"], "--budget must be at least 0, got nan"),
        (["--device", "cuda"], "torch sees"),
        (["--cases", "sdxl"], "'sdxl' matches none of"),
        (["--variants", "dora"], "'dora' matches none of"),
    ],
)
def test_options_out_of_range_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        command.main([*arguments, "--dry-run"])
