"""A stage ends with the status and the words its user needs, and leaves its telemetry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oft.errors import DataError
from stages.launch import entry

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(entry.WARM, raising=False)


def fail_with(error: BaseException) -> Callable[[list[str]], None]:
    """Return a stage that raises ``error``."""

    def main(_arguments: list[str]) -> None:
        raise error

    return main


def test_a_stage_is_given_its_arguments_and_leaves_its_telemetry(tmp_path: Path) -> None:
    given: list[str] = []
    entry.run(given.extend, ["--task", "segm_ade20k", "--shard", "0"], name="sample@segm_ade20k-0")
    assert given == ["--task", "segm_ade20k", "--shard", "0"]
    telemetry = json.loads((tmp_path / ".telemetry/sample@segm_ade20k-0.json").read_text())
    assert set(telemetry) == {"stage", "seconds", "peak_memory_bytes", "python_start_seconds"}
    assert telemetry["stage"] == "sample@segm_ade20k-0"
    assert telemetry["seconds"] >= 0
    assert telemetry["peak_memory_bytes"] > 1 << 20


def test_a_users_fault_is_its_message_alone_and_no_telemetry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        entry.run(fail_with(DataError("photo.png: cut off; fetch it again")), [])
    assert left.value.code == 1
    assert capsys.readouterr() == ("", "photo.png: cut off; fetch it again\n")
    assert not (tmp_path / ".telemetry").exists()


def test_a_full_gpu_is_named_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand the rest")
    with pytest.raises(SystemExit) as left:
        entry.run(fail_with(full), [], name="train@x")
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "train@x: the GPU's memory is full (CUDA out of memory. Tried to allocate 2.00 GiB.);"
    )
    assert "gradient_accumulation_steps" in said and "and the rest" not in said
    with pytest.raises(RuntimeError, match="another"):
        entry.run(fail_with(RuntimeError("another")), [])


def test_ctrl_c_is_130_and_a_bug_travels_on() -> None:
    with pytest.raises(SystemExit) as left:
        entry.run(fail_with(KeyboardInterrupt()), [])
    assert left.value.code == 130
    with pytest.raises(ZeroDivisionError):
        entry.run(fail_with(ZeroDivisionError()), [])


@pytest.mark.parametrize("warm", ["", "1"])
def test_a_process_ends_the_same_cold_and_warm(tmp_path: Path, warm: str) -> None:
    (tmp_path / "job.py").write_text(
        "import sys\nfrom oft.errors import ParamsError\nfrom stages.launch.entry import run\n"
        "def main(arguments):\n"
        "    if arguments: raise ParamsError('params.yaml: seed must be at least 0, not -1')\n"
        "if __name__ == '__main__':\n    run(main, sys.argv[1:], heavy=True)\n"
    )
    variables = {"OFT_WARM": warm, "OFT_WARM_LIBRARIES": "json", "OFT_WARM_IDLE_SECONDS": "0"}
    environment = os.environ | {"PYTHONPATH": str(ROOT), **variables}
    ended = [
        subprocess.run(
            [sys.executable, "-m", "job", *arguments], env=environment, capture_output=True, text=True
        )
        for arguments in (["--seed", "-1"], [])
    ]
    assert [(job.returncode, job.stdout, job.stderr) for job in ended] == [
        (1, "", "params.yaml: seed must be at least 0, not -1\n"),
        (0, "", ""),
    ]
    telemetry = json.loads((tmp_path / ".telemetry/job.json").read_text())
    assert telemetry["python_start_seconds"] > 0
    assert (tmp_path / ".warm").exists() == bool(warm)


@pytest.mark.parametrize(
    ("module", "arguments", "name"),
    [
        ("stages.report", [], "report"),
        ("stages.acquire", ["--dataset", "ade20k"], "acquire@ade20k"),
        (
            "stages.sample",
            ["--task", "segm_ade20k", "--adapter", "oft", "--shard", "0"],
            "sample@segm_ade20k-oft-0",
        ),
        ("stages.sample", ["--task=segm_ade20k", "--shard=0"], "sample@segm_ade20k-0"),
        ("stages.acquire", ["--dataset", "../my pictures"], "acquire@.._my_pictures"),
    ],
)
def test_a_stage_is_named_after_its_script_and_arguments(
    module: str, arguments: list[str], name: str
) -> None:
    assert entry.stage_name(module, arguments) == name


def test_a_process_knows_when_it_began() -> None:
    assert entry.process_started() < entry.IMPORTED < time.monotonic()
    # A busy machine may pause between the two clocks that are read.
    assert entry.process_started() == pytest.approx(entry.process_started(), abs=10)


def test_a_stage_waits_while_another_process_runs_it_here(tmp_path: Path) -> None:
    """As where DVC was killed and its stage lives on: two would write over each other's half-made outs."""
    (tmp_path / "job.py").write_text(
        "import sys\nfrom stages.launch import entry\n"
        "def main(arguments):\n    print('begun', flush=True)\n    sys.stdin.read()\n"
        "entry.run(main, sys.argv[1:])\n"
    )

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "job", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def read_line(job: subprocess.Popen[str]) -> str:
        assert job.stdout is not None
        return job.stdout.readline()

    first = start("--task", "a")
    assert read_line(first) == "begun\n"
    second, elsewhere = start("--task", "a"), start("--task", "b")
    assert "another process runs this stage here" in read_line(second)
    assert read_line(elsewhere) == "begun\n"
    other_machine = start("--task", "a", OFT_TRAIN_NODE_RANK="1")  # of one training, in a shared folder
    assert read_line(other_machine) == "begun\n"
    first.kill()
    assert read_line(second) == "begun\n"
    for job in (first, second, elsewhere, other_machine):
        job.communicate("")
