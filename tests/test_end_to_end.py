"""The whole graph, profile smoke, in a clone of the repository: it runs, resumes, then has nothing to do."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from oft.storage import dump_yaml, load_yaml, read_json
from tests.conftest import clone_repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def run(clone: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run DVC in the clone with this Python's environment."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OFT_WARM": "1",
        "OFT_WARM_IDLE_SECONDS": "20",
        "DVC_NO_ANALYTICS": "1",
    }
    # The stages must not inherit the one thread of parallel test workers.
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the files git tracks or would track, with the smoke profile, reproduced once."""
    folder = clone_repository(tmp_path_factory.mktemp("clone") / "repository", "smoke")
    run(folder, "repro")
    return folder


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
    assert len(runs) == 13
    for folder in runs:
        metrics = read_json(folder / "metrics.json")
        assert metrics["num_images"] > 0 and metrics["adapter"] == folder.name
        assert folder.parent.name in page
    assert read_json(clone / "runs" / "angles" / "metrics.json")["num_images"] == 4
    assert "Why angles" in page
    for folder in (clone / "runs" / "segm_ade20k" / "oft", clone / "runs" / "subject_robot_toy" / "oft"):
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
        cwd=clone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
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


def test_a_killed_training_goes_on_to_the_same_result(clone: Path) -> None:
    """Kill -9 after the first checkpoint; the stage run again gives the bytes of the undisturbed run."""
    before = lock(clone)
    stage = "train@segm_ade20k-oft"
    checkpoints = clone / ".checkpoints"
    shutil.rmtree(checkpoints)
    kill_once(start(clone, stage), lambda: bool(list(checkpoints.glob("*/state.pt"))))
    summary = clone / "runs" / "segm_ade20k" / "oft" / "train" / "summary.json"
    assert read_json(summary)["step"] == 4  # the earlier result stands, whole
    run(clone, "repro", "--force", "--single-item", stage)
    assert lock(clone) == before


@pytest.mark.parametrize(
    ("stage", "out"),
    [
        ("acquire@ade20k", "data/raw/ade20k"),
        ("extract@canny_coco", "data/conditions/canny_coco"),
        ("shard@segm_ade20k", "data/shards/segm_ade20k"),
        ("fit_magnitude@canny_coco-oft", "runs/canny_coco/oft/magnitude"),
        ("sample@segm_ade20k-oft-0", "runs/segm_ade20k/oft/samples/0.tar"),
        ("report", "report"),
    ],
)
def test_a_killed_stage_leaves_the_earlier_out_whole(clone: Path, stage: str, out: str) -> None:
    before = lock(clone)
    target = clone / out
    partial = target.with_name(f".{target.name}.partial")
    kill_once(start(clone, stage), partial.exists)
    assert not run(clone, "status", stage, "--quiet", check=False).returncode
    run(clone, "repro", "--force", "--single-item", stage)
    assert not partial.exists()
    assert lock(clone) == before


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("train", "learning_rte", 1, "did you mean 'learning_rate'?"),
        ("sample", "num_samples", 0, "sample.num_samples"),
    ],
)
def test_a_wrong_setting_ends_a_stage_without_a_traceback(
    clone: Path, section: str, key: str, value: object, said: str
) -> None:
    kept = (clone / "params.yaml").read_text(encoding="utf-8")
    change(clone, section, key, value)
    done = run(clone, "repro", "--force", "--single-item", "acquire@photos", check=False)
    (clone / "params.yaml").write_text(kept, encoding="utf-8")
    assert done.returncode != 0
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_damaged_shard_is_named(clone: Path) -> None:
    shard = clone / "data" / "shards" / "canny_coco" / "train-000000.tar"
    whole = shard.read_bytes()
    shard.chmod(0o644)
    shard.unlink()
    shard.write_bytes(whole[:-2048])
    done = subprocess.run(
        [sys.executable, "-m", "stages.train", "--task", "canny_coco", "--adapter", "oft"],
        cwd=clone, capture_output=True, text=True, check=False,
    )  # fmt: skip
    shard.write_bytes(whole)
    assert done.returncode == 1
    assert "train-000000.tar" in done.stderr and "dvc" in done.stderr and "Traceback" not in done.stderr
