"""kill -9 of a retraining at a random time, then again: nothing half promoted, and the same result.

OFT_FAULT_ROUNDS says how often; two rounds are quick, twenty say something.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from flows.git import git
from oft.storage import load_yaml
from tests.flows.retrain import conftest
from tests.flows.retrain.conftest import TASK, Person

ROUNDS = int(os.environ.get("OFT_FAULT_ROUNDS", "2"))

person = conftest.person

DRIVER = """
import sys
from pathlib import Path
from flows.retrain import promotion
from flows.retrain.run import retrain_once
from flows.retrain.settings import RetrainSettings
from tests.flows.retrain.conftest import export_tiny
from tests.flows.retrain.test_run import reproduce
promotion.export_model = export_tiny
root = Path(sys.argv[1])
print(retrain_once(RetrainSettings(str(root), root / ".retrain"), reproduce, print).message)
"""


TAGS = ["canny-photos-oft@v1.0.0", "promoted/1"]


def start(person: Person) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(person.root)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )


def result(person: Person) -> tuple[str, str]:
    """The promoted model's hash and the tree of its commit, which holds lock, decision and card."""
    lock = load_yaml(git("show", "retrain:dvc.lock", root=person.root))
    model = lock["stages"][f"train@{TASK}-oft"]["outs"][0]["md5"]
    return str(model), git("rev-parse", "retrain^{tree}", root=person.root)


def test_a_killed_retraining_leaves_nothing_half_promoted_and_the_next_goes_on(
    person: Person,
) -> None:
    began = time.monotonic()
    assert start(person).wait() == 0
    lasted, expected = time.monotonic() - began, result(person)
    rng = random.Random(0)
    killed_at_work = 0
    for number in range(ROUNDS):
        # From before the first promotion again; in every other round with nothing in the cache.
        for ref in ("refs/heads/retrain", *(f"refs/tags/{tag}" for tag in TAGS)):
            git("update-ref", "-d", ref, root=person.root)
        remove(person.root / ".retrain")
        if number % 2 == 0:
            remove(person.root / ".dvc" / "cache")
        process = start(person)
        time.sleep(rng.uniform(0, lasted))
        killed_at_work += process.poll() is None
        process.kill()  # it alone: what it had started goes on, and is waited for
        process.wait()
        tags, branch = person.tags(), git("branch", "--list", "retrain", root=person.root)
        assert bool(tags) == bool(branch), f"round {number}: half promoted: {tags} {branch}"
        assert start(person).wait() == 0
        assert person.tags() == TAGS, f"round {number}"
        assert result(person) == expected, f"round {number}"
    print(f"{ROUNDS} rounds, {killed_at_work} killed at work, the others after it had ended")


def remove(folder: Path) -> None:
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", str(folder)], check=True)
