"""S3 that is busy, hangs, breaks off or dies: nothing is lost, nothing half taken for whole; it goes on."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from oft.storage import fetch_folder, plan_publication, publish
from tests.conftest import ROOT

from .proxy import FAULTS, HANG_SECONDS, Fault, faulty_proxy
from .team import OUTS, PREFIX, cached_objects, clone, hash_of, read_outs, remote_keys, remote_objects, share

ROUNDS = int(os.environ.get("OFT_FAULT_ROUNDS", "1"))
SHARES: dict[Fault, tuple[float, float]] = {"busy": (0.2, 0.8), "hang": (0.1, 0.6), "cut": (0.2, 0.8)}
"""Shares of requests a fault meets: from those that retries get over to those that they do not."""


def lead_to(address: str, environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "AWS_ENDPOINT_URL": address}


def file_keys(keys: set[str] | list[str]) -> list[str]:
    """Return the keys of results; the run cache's entries DVC sends each time."""
    return sorted(key for key in keys if key.startswith(f"{PREFIX}/files/"))


@pytest.mark.timeout(120 * ROUNDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disturbed_push_loses_nothing_and_goes_on(
    fault: Fault, reproduced: Path, s3: Any, s3_endpoint: str, environment: dict[str, str], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(reproduced, tmp_path / "first"))
    before = cached_objects(root)
    outs = read_outs(root)
    counts = {"disturbed": 0, "failed": 0, "left to send": 0}
    for number in range(ROUNDS):
        draw = random.Random(number)
        for key in remote_keys(s3):
            s3.delete_object(Bucket="bucket", Key=key)
        share_met = draw.uniform(*SHARES[fault]) if fault != "die" else 0.0
        with faulty_proxy(
            s3_endpoint,
            fault=fault,
            fault_share=share_met,
            random=draw,
            lives=draw.randrange(len(before) + 1),
        ) as proxy:
            disturbed = share("push", root, lead_to(proxy.address, environment))
        assert cached_objects(root) == before and read_outs(root) == outs
        there = remote_objects(s3)  # each whole
        assert there.items() <= before.items()
        assert (disturbed.status == 0) <= (there == before), disturbed.shown
        if disturbed.status:
            assert "push failed:" in disturbed.shown and "run the same command again" in disturbed.shown
            assert "Traceback" not in disturbed.shown

        sent_before = file_keys(remote_keys(s3))
        with faulty_proxy(s3_endpoint) as proxy:
            again = share("push", root, lead_to(proxy.address, environment))
        assert again.status == 0, again.shown
        assert remote_objects(s3) == before
        sent_now = file_keys(proxy.put)
        assert sorted([*sent_before, *sent_now]) == file_keys(remote_keys(s3))  # the missing ones only
        counts["disturbed"] += 1
        counts["failed"] += disturbed.status != 0
        counts["left to send"] += len(sent_now)
    print(f"{fault}: {counts}")

    second = clone(root, tmp_path / "second")
    pulled = share("pull", second, environment)
    assert pulled.status == 0, pulled.shown
    assert read_outs(second) == outs


@pytest.mark.timeout(120 * ROUNDS)
def test_a_pull_that_is_cut_takes_no_half_file_and_goes_on(
    reproduced: Path, s3: Any, s3_endpoint: str, environment: dict[str, str], tmp_path: Path
) -> None:
    assert share("push", Path(shutil.copytree(reproduced, tmp_path / "first")), environment).status == 0
    whole, failed = cached_objects(reproduced), 0
    for number in range(ROUNDS):
        root = clone(reproduced, tmp_path / f"clone-{number}")
        draw = random.Random(number)
        with faulty_proxy(s3_endpoint, fault="cut", fault_share=draw.uniform(0.3, 0.9), random=draw) as proxy:
            disturbed = share("pull", root, lead_to(proxy.address, environment))
        assert cached_objects(root).items() <= whole.items()
        assert read_outs(root).items() <= read_outs(reproduced).items()
        failed += disturbed.status != 0
        assert share("pull", root, environment).status == 0
        assert read_outs(root) == read_outs(reproduced)
    print(f"pulls cut: {ROUNDS}, of which {failed} failed")


def test_a_pull_names_what_the_remote_lacks_and_what_is_damaged_there(
    reproduced: Path, s3: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    first = Path(shutil.copytree(reproduced, tmp_path / "first"))
    assert share("push", first, environment).status == 0
    one, two = hash_of(first / "one"), hash_of(first / "two")
    half = (first / "one").read_bytes()[:1000]
    s3.put_object(Bucket="bucket", Key=f"{PREFIX}/files/md5/{one[:2]}/{one[2:]}", Body=half)
    s3.delete_object(Bucket="bucket", Key=f"{PREFIX}/files/md5/{two[:2]}/{two[2:]}")
    second = clone(first, tmp_path / "second")
    pulled = share("pull", second, environment)
    assert pulled.status == 1 and "Traceback" not in pulled.shown
    missing = re.search(r"does not hold all of: (.*)\. Whoever made them runs `make push`", pulled.shown)
    assert missing and sorted(missing[1].split(", ")) == ["one", "two"]
    assert [out for out in OUTS if (second / out).exists()] == ["folder"]
    assert not {one, two} & set(cached_objects(second))


def test_a_push_that_hangs_ends_when_it_is_told_to(
    reproduced: Path, s3_endpoint: str, environment: dict[str, str], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(reproduced, tmp_path / "first"))
    config = root / ".dvc" / "config"
    config.write_text(config.read_text().replace("read_timeout = 1", "read_timeout = 600"))
    with faulty_proxy(s3_endpoint, fault="hang", fault_share=1.0) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.share", "push"],
            cwd=root,
            env={**lead_to(proxy.address, environment), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            while not proxy.hit and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            shown, _ = process.communicate(timeout=HANG_SECONDS / 2)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    assert "interrupted: nothing is lost; run it again to go on" in shown and "Traceback" not in shown
    assert cached_objects(root) == cached_objects(reproduced)


def test_a_publication_gets_over_a_busy_server(
    reproduced: Path, s3: Any, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "8")
    with faulty_proxy(s3_endpoint, fault="busy", fault_share=0.3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        publish(plan_publication(reproduced / "folder", "s3://bucket/folder"))
        fetch_folder("s3://bucket/folder", tmp_path / "folder")
    assert proxy.hit
    assert {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()} == {
        path.name: path.read_bytes() for path in (reproduced / "folder").iterdir()
    }
