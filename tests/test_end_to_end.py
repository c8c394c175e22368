"""The graph, profile smoke, in a clone of the repository: it runs, resumes, then has nothing to do."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from oft.storage import dump_yaml, load_yaml, read_json
from tests.conftest import clone_repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

TASK, SUBJECT = "canny_coco", "subject_robot_toy"


def environment() -> dict[str, str]:
    """This Python's environment, and a warm server that imports torch once for all that runs here."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OFT_WARM": "1",
        "OFT_WARM_IDLE_SECONDS": "300",
        "DVC_NO_ANALYTICS": "1",
    }


def run(clone: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run DVC in the clone."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=clone,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def one_of_each_kind(settings: dict[str, Any]) -> None:
    """Leave one task with a condition to be trained; the others are drawn and judged for the base alone.

    Of data sets and tasks those stay that a run needs: what becomes of others the tests of their readers say.
    """
    settings["control_tasks"] = [TASK]
    settings["tasks"] = {task: settings["tasks"][task] for task in settings["base_tasks"] if task != SUBJECT}
    settings["styles"] = {}
    used = {each["dataset"] for kind in ("tasks", "subjects") for each in settings[kind].values()}
    settings["datasets"] = {name: settings["datasets"][name] for name in sorted(used)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone of the files git tracks or would track, with the smoke profile, reproduced once."""
    folder = clone_repository(tmp_path_factory.mktemp("clone") / "repository", "smoke", one_of_each_kind)
    run(folder, "repro")
    yield folder
    shutil.rmtree(folder / ".warm")  # its server ends


def lock(clone: Path) -> object:
    """Return what dvc.lock says; the order of settings in it follows params.yaml's."""
    return load_yaml((clone / "dvc.lock").read_text(encoding="utf-8"))


def change(clone: Path, section: str, key: str, value: object) -> None:
    params = load_yaml((clone / "params.yaml").read_text(encoding="utf-8"))
    params[section][key] = value
    (clone / "params.yaml").write_text(dump_yaml(params), encoding="utf-8")


def ran(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the scripts of the stages that ran, or were to be run."""
    return {
        line.split("'")[1].split("@")[0].split("_")[0]
        for line in done.stdout.splitlines()
        if line.startswith("Running stage ")
    }


def test_every_run_has_metrics_pictures_and_a_place_in_the_report(clone: Path) -> None:
    page = (clone / "report" / "index.html").read_text(encoding="utf-8")
    runs = sorted(path.parent for path in clone.glob("runs/*/*/metrics.json"))
    assert len(runs) == 9
    for folder in runs:
        metrics = read_json(folder / "metrics.json")
        assert metrics["num_images"] > 0 and metrics["adapter"] == folder.name
        assert folder.parent.name in page
    assert read_json(clone / "runs" / "angles" / "metrics.json")["num_images"] == 4
    assert "Why angles" in page
    for folder in (clone / "runs" / TASK / "oft", clone / "runs" / SUBJECT / "oft"):
        metrics = read_json(folder / "metrics.json")
        assert abs(metrics["energy_change"]) <= 1e-5 and metrics["orthogonality_error"] <= 1e-5


def test_a_second_run_runs_nothing(clone: Path) -> None:
    before = lock(clone)
    assert not ran(run(clone, "repro"))
    assert lock(clone) == before


def test_a_setting_reruns_its_stage_and_what_follows_only(clone: Path) -> None:
    kept = (clone / "params.yaml").read_text(encoding="utf-8")
    change(clone, "evaluate", "kernel_distance_subsets", 3)
    # A dry run shows what changed itself, not yet what its new results will change.
    touched = ran(run(clone, "repro", "--dry"))
    assert "evaluate" in touched and touched <= {"evaluate", "report"}
    (clone / "params.yaml").write_text(kept, encoding="utf-8")
    change(clone, "train", "learning_rate", 1e-3)
    touched = ran(run(clone, "repro", "--dry"))
    assert "train" in touched and touched <= {"train", "fit", "sample", "evaluate", "report"}
    (clone / "params.yaml").write_text(kept, encoding="utf-8")


def test_nothing_of_this_machine_is_in_the_outs(clone: Path) -> None:
    for path in [clone / "dvc.lock", *clone.glob("runs/*/*/metrics.json"), *clone.glob("report/*.html")]:
        assert str(clone) not in path.read_text(encoding="utf-8")


def start(clone: Path, stage: str) -> subprocess.Popen[bytes]:
    """Start a stage's command as DVC would, in a process group of its own."""
    command = load_yaml((clone / "dvc.lock").read_text(encoding="utf-8"))["stages"][stage]["cmd"]
    return subprocess.Popen(
        [sys.executable, *shlex.split(command)[1:]],
        cwd=clone, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def kill_once(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    """Kill -9 a process as soon as it has reached something, which it must before it ends."""
    deadline = time.monotonic() + 300
    while not reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    there = reached()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert there


KILLED = {
    "acquire@ade20k": "data/raw/ade20k",
    f"extract@{TASK}": f"data/conditions/{TASK}",
    "shard@segm_ade20k": "data/shards/segm_ade20k",
    f"fit_magnitude@{TASK}-oft": f"runs/{TASK}/oft/magnitude",
    f"sample@{TASK}-oft-0": f"runs/{TASK}/oft/samples/0.tar",
    "report": "report",
}
"""Stages and what each makes."""


def test_killed_stages_leave_earlier_outs_whole_and_end_with_the_same_results(clone: Path) -> None:
    """Kill -9 of stages of every kind as soon as each has begun to write, then run all of them again."""
    before = lock(clone)
    targets = {stage: clone / out for stage, out in KILLED.items()}
    partials = [target.with_name(f".{target.name}.partial") for target in targets.values()]
    for stage, partial in zip(targets, partials, strict=True):
        kill_once(start(clone, stage), partial.exists)
    assert not run(clone, "status", *targets, "--quiet", check=False).returncode
    # A training goes on from its last checkpoint.
    training, checkpoints = f"train@{TASK}-oft", clone / ".checkpoints"
    shutil.rmtree(checkpoints)
    kill_once(start(clone, training), lambda: bool(list(checkpoints.glob("*/state.pt"))))
    summary = read_json(clone / "runs" / TASK / "oft" / "train" / "summary.json")
    assert summary["step"] == 4  # the earlier result stands, whole
    run(clone, "repro", "--force", "--single-item", training, *targets)
    assert not any(partial.exists() for partial in partials)
    assert lock(clone) == before


def test_wrong_settings_end_a_stage_without_a_traceback(clone: Path) -> None:
    kept = (clone / "params.yaml").read_text(encoding="utf-8")
    change(clone, "train", "learning_rte", 1)
    change(clone, "sample", "num_samples", 0)
    done = run(clone, "repro", "--force", "--single-item", "acquire@photos", check=False)
    (clone / "params.yaml").write_text(kept, encoding="utf-8")
    assert done.returncode != 0
    said = done.stderr + done.stdout
    assert "did you mean 'learning_rate'?" in said and "sample.num_samples" in said
    assert "Traceback" not in said


def test_a_damaged_shard_is_named(clone: Path) -> None:
    shard = clone / "data" / "shards" / TASK / "train-000000.tar"
    whole = shard.read_bytes()
    shard.chmod(0o644)
    shard.unlink()
    shard.write_bytes(whole[:-2048])
    done = subprocess.run(
        [sys.executable, "-m", "stages.train", "--task", TASK, "--adapter", "oft"],
        cwd=clone, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    shard.write_bytes(whole)
    assert done.returncode == 1
    assert "train-000000.tar" in done.stderr and "dvc" in done.stderr and "Traceback" not in done.stderr
