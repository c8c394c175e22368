"""A tiny DVC repository with a remote on S3, and the commands of `flows.share` run on its clones."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flows.commands import run_dvc

PREFIX = "dvc"
STAGES = """
stages:
  folder:
    cmd: echo folder >> ran.txt; mkdir -p folder && for i in 1 2 3 4 5 6; do seq $i 2000$i > folder/$i; done
    deps: [source.txt]
    outs: [folder]
  one: {cmd: "echo one >> ran.txt; seq 1 30000 > one", deps: [source.txt], outs: [one]}
  two: {cmd: "echo two >> ran.txt; cat one folder/1 > two", deps: [one, folder], outs: [two]}
"""
OUTS = ("folder", "one", "two")


class Shared(NamedTuple):
    """How a command ended, and all that it printed."""

    status: int
    shown: str


def make_repository(root: Path, stages: str = STAGES) -> Path:
    """Return a reproduced repository whose default remote is ``s3://bucket/dvc``."""
    from dvc.repo import Repo

    root.mkdir(parents=True)
    with Repo.init(str(root), no_scm=True) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, check_update=False, remote="team")
        # A second is long here, and a minute, the default, for a test.
        timeouts = {"read_timeout": 1, "connect_timeout": 1}
        config["remote"]["team"] = {"url": f"s3://bucket/{PREFIX}", "verify": True, **timeouts}
    (root / "dvc.yaml").write_text(stages)
    (root / "source.txt").write_text("source")
    finished = run_dvc(["repro"], root=root, log=lambda _: None)
    assert finished.exit_code == 0, finished.tail
    return root


def clone(source: Path, target: Path) -> Path:
    """Return a clone: what git would carry, no results and no cache."""
    ignore = shutil.ignore_patterns(*OUTS, "cache", "tmp", "ran.txt")
    return Path(shutil.copytree(source, target, ignore=ignore))


def share(verb: str, root: Path, environment: Mapping[str, str]) -> Shared:
    """Run ``python -m flows.share VERB`` in ``root``, in a process that begins with DVC imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["flows.share", "dvc.repo", "dvc_s3", "s3fs"])
    output = root / ".dvc" / "tmp" / "shown.txt"
    output.parent.mkdir(exist_ok=True)
    process = context.Process(target=_run, args=(verb, str(root), dict(environment), str(output)))
    process.start()
    process.join(timeout=240)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"{verb} did not end: {output.read_text()}")
    assert process.exitcode is not None
    return Shared(process.exitcode, output.read_text())


def _run(verb: str, root: str, environment: dict[str, str], output: str) -> None:
    from flows.share import app

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(root)
    sys.stdout = sys.stderr = open(output, "w", buffering=1)  # noqa: SIM115  open as long as the process is
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)
    app([verb], prog_name="share")


def cached_objects(root: Path) -> dict[str, bytes]:
    """Return the objects of DVC's cache by hash; each has the hash it is named by, or this fails."""
    files = root / ".dvc" / "cache" / "files" / "md5"
    objects = {
        f"{path.parent.name}{path.name}": path.read_bytes()
        for path in files.glob("??/*")
        if not path.name.startswith(".")
    }
    for name, content in objects.items():
        assert_named_by_hash(name, content)
    return objects


def remote_objects(s3: Any) -> dict[str, bytes]:
    """Return the remote's objects by hash; each has the hash it is named by, or this fails."""
    prefix = f"{PREFIX}/files/md5/"
    objects = {
        key.removeprefix(prefix).replace("/", ""): s3.get_object(Bucket="bucket", Key=key)["Body"].read()
        for key in remote_keys(s3)
        if key.startswith(prefix)
    }
    for name, content in objects.items():
        assert_named_by_hash(name, content)
    return objects


def remote_keys(s3: Any) -> set[str]:
    return {entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket").get("Contents", ())}


def assert_named_by_hash(name: str, content: bytes) -> None:
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == name.removesuffix(".dir")


def hash_of(out: Path) -> str:
    """Return the name that DVC has for the contents of a file."""
    return hashlib.md5(out.read_bytes(), usedforsecurity=False).hexdigest()


def read_outs(root: Path) -> dict[str, bytes]:
    """Return the files of the outs that are there."""
    found = [path for out in OUTS for path in [root / out, *(root / out).rglob("*")] if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
