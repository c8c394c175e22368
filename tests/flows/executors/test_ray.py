"""Stages on two nodes: where they run changes nothing, and neither a lost node nor an end leaves anything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from oft.storage import load_yaml
from tests.conftest import ROOT
from tests.flows.executors.clones import git, make_clone
from tests.flows.executors.conftest import HEAD, WORKER, Cluster, wait_for

pytestmark = pytest.mark.slow

DIAMOND = """
stages:
  start:
    cmd: cat source.txt > a; mkdir tree; cp a tree/one; cp a tree/two
    deps: [source.txt]
    outs: [a, tree]
  left: {cmd: sh meet.sh left right && cat a > b, deps: [a], outs: [b], params: [letter]}
  right: {cmd: sh meet.sh right left && cat tree/two > c, deps: [tree/two, meet.sh], outs: [c]}
  join:
    cmd:
      - cat b c > d
      - |
        echo '{"lines": 2}' > lines.json
    deps: [b, c]
    outs: [d]
    metrics: [lines.json: {cache: false}]
"""
MEET = """
touch "FOLDER/$1"
for i in $(seq 600); do [ -e "FOLDER/$2" ] && exit; sleep 0.1; done
exit 1
"""
ONE = """
stages:
  only: {cmd: sh work.sh > a, deps: [source.txt, work.sh], outs: [a]}
"""


def start_run(root: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start ``python -m flows.reproduce --plain``, its lines in the file ``log``."""
    with (root / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.reproduce", "--plain"],
            cwd=root,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )


def finish_run(process: subprocess.Popen[str], root: Path) -> tuple[int, str]:
    try:
        process.wait(300)
    finally:
        process.kill()
        process.wait()
    return process.returncode, (root / "log").read_text()


def dvc(root: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """What a DVC command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def nodes_of(shown: str, stage: str) -> list[str]:
    return re.findall(rf"\b{stage} goes to node (\S+)", shown)


def processes_naming(text: str) -> list[int]:
    found = psutil.process_iter(["cmdline"])
    named = [each.pid for each in found if text in "\0".join(each.info["cmdline"] or ())]
    return [pid for pid in named if pid != os.getpid()]


def test_a_run_on_two_nodes_is_a_run_on_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    meet = tmp_path / "meet"
    meet.mkdir()
    root = make_clone(
        tmp_path / "head",
        "s3://results/diamond",
        dvc_yaml=DIAMOND,
        meet_sh=MEET.replace("FOLDER", str(meet)),
        source_txt="one\n",
        params_yaml="letter: a\n",
    )
    git(tmp_path, "clone", "--quiet", str(root), "local")
    for clone in (root, tmp_path / "local"):
        (clone / "params.yaml").write_text("letter: b\n")  # need not be committed

    status, shown = finish_run(start_run(root, cluster.environment), root)
    assert status == 0, shown
    assert {*nodes_of(shown, "left"), *nodes_of(shown, "right")} == {HEAD, WORKER}
    assert sorted(re.findall(r"\[(\w+)\] done after", shown)) == ["join", "left", "right", "start"]
    assert "planted" not in shown

    dvc(tmp_path / "local", cluster.environment, "repro")
    # DVC writes stages into its lock in the order in which they end.
    assert load_yaml((root / "dvc.lock").read_text()) == load_yaml(
        (tmp_path / "local" / "dvc.lock").read_text()
    )
    assert "Running stage" not in dvc(root, cluster.environment, "repro")
    assert "up to date" in dvc(root, cluster.environment, "status")
    for node in cluster.nodes.values():
        kept = [path for path in node.folder.rglob("*") if path.is_file() and path.suffix != ".bundle"]
        assert not [path for path in kept if b"planted-secret" in path.read_bytes()]
        assert node.folder.stat().st_mode & 0o077 == 0


def test_a_user_error_is_reported_once(cluster: Cluster, tmp_path: Path) -> None:
    root = make_clone(
        tmp_path / "head",
        "s3://results/fault",
        dvc_yaml=ONE,
        work_sh="echo the reason >&2; exit 3\n",
        source_txt="one\n",
    )
    status, shown = finish_run(start_run(root, cluster.environment), root)
    assert status == 1
    assert len(nodes_of(shown, "only")) == 1
    assert "the reason" in shown and "Traceback" not in shown
    assert not (root / "dvc.lock").exists()


def test_an_end_leaves_no_process(cluster: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    root = make_clone(
        tmp_path / "head",
        "s3://results/end",
        dvc_yaml=ONE,
        work_sh=f"trap '' TERM; echo $$ > {mark}; sh -c 'trap \"\" TERM; sleep 600; : {mark}'; sleep 600\n",
        source_txt="one\n",
    )
    process = start_run(root, cluster.environment)
    wait_for(lambda: mark.is_file() and len(processes_naming(str(mark))) > 0, 60, (root / "log").read_text)
    process.send_signal(signal.SIGTERM)
    sleepers = processes_naming(str(mark))
    wait_for(lambda: not any(map(psutil.pid_exists, sleepers)), 20)
    status, shown = finish_run(process, root)
    assert status == 128 + signal.SIGTERM, shown


def test_a_stage_of_a_lost_node_runs_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    """Last in this file: the cluster has one node afterwards."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    root = make_clone(
        tmp_path / "head",
        "s3://results/lost",
        dvc_yaml=ONE,
        work_sh=f"echo $$ >> {begun}\nwhile [ ! -e {go} ]; do sleep 0.1; done\ncat source.txt\n",
        source_txt="one\n",
    )
    # The node that holds the cluster together is full, so the stage goes to the other.
    filler = subprocess.Popen(
        [sys.executable, "-c", FILL.format(address=HEAD)],
        env=dict(cluster.environment),
        stdout=subprocess.PIPE,
    )
    try:
        assert filler.stdout is not None and filler.stdout.readline() == b"full\n"
        process = start_run(root, cluster.environment)
        wait_for(lambda: begun.exists() and bool(begun.read_text()), 60, (root / "log").read_text)
        first = int(begun.read_text().split()[0])
        cluster.nodes[WORKER].kill()
    finally:
        filler.kill()
        filler.communicate()
    wait_for(lambda: not psutil.pid_exists(first), 60)
    go.touch()
    status, shown = finish_run(process, root)
    assert status == 0, shown
    assert nodes_of(shown, "only") == [WORKER, HEAD]
    assert (root / "a").read_text() == "one\n"
    assert "up to date" in dvc(root, cluster.environment, "status")


FILL = """
import time, ray
ray.init(log_to_driver=False, configure_logging=False)
@ray.remote(num_cpus=1, resources={{"node:{address}": 0.001}})
class Filler:
    def sit(self):
        return "full"
filler = Filler.remote()
print(ray.get(filler.sit.remote()), flush=True)
time.sleep(600)
"""
