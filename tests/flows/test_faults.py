"""What DVC prints of disks and of S3 is told with its meaning and a remedy, once a kind."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from flows.commands import describe_failure
from flows.faults import explain_disk_faults, explain_faults
from flows.process import CommandResult
from oft.errors import UserError


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("ERROR: failed to transfer 'a' - Unable to locate credentials", "AWS_PROFILE, or AWS_ACCESS_KEY_ID"),
        (
            "ERROR: unexpected error - The specified bucket does not exist: An error (NoSuchBucket)",
            "create it",
        ),
        ("ERROR: unexpected error - Forbidden: An error occurred (403) ... HeadObject", "refuses these"),
        ("Cannot combine AUTHORIZATION header with ... credentials encoded in URL", "must hold no user name"),
        ('ERROR: Could not connect to the endpoint URL: "http://127.0.0.1:9/a"', "check the network"),
        (
            "ERROR: An error occurred (SlowDown) when calling PutObject (reached max retries: 4)",
            "busy or broke",
        ),
        (
            'ERROR: unexpected error - Read timeout on endpoint URL: "http://127.0.0.1:9/a"',
            "busy or broke off",
        ),
        (
            "ERROR: unexpected error - [Errno 13] Permission denied: '/cache/files/md5/ab/c'",
            "dvc cache dir --local",
        ),
        ("ERROR: unexpected error - [Errno 30] Read-only file system: '/a' -> '/b/c'", "/b/c may not be"),
        ("attempt to write a readonly database", "may not be read or written"),
        ("database or disk is full", "a disk is full"),
        ("ERROR: failed to reproduce 'big': [Errno 28] No space left on device", "a disk is full"),
    ],
)
def test_each_kind_of_fault_has_one_meaning(line: str, meaning: str) -> None:
    (explained,) = explain_faults([line, "something else", line])
    assert meaning in explained


def test_unknown_errors_are_not_explained() -> None:
    assert explain_faults(["ERROR: failed to reproduce 'train': failed to run: python -m stages.train"]) == []
    assert explain_faults([]) == []


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "a.tmp"
    lines = [
        f"ERROR: failed to transfer 'a' - [Errno 28] No space left on device: '/elsewhere/a' -> '{target}'",
        "ERROR: failed to reproduce 'big': [Errno 28] No space left on device",
    ]
    (explained,) = explain_faults(lines)
    disk = next(parent for parent in target.parents if parent.is_mount())
    assert explained.startswith(f"the disk at {disk} is full (")
    assert str(target) in explained and "run again" in explained


def test_a_failed_stage_ends_with_the_meaning() -> None:
    said = "ERROR: failed to reproduce 'big': [Errno 28] No space left on device"
    assert "\na disk is full; " in describe_failure("stage big", CommandResult(255, (said,)))


def test_a_disk_that_a_run_itself_cannot_write_to_is_told_as_a_message(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "dvc.lock.kept"))
    for fault, message in (
        (full, f"{tmp_path / 'dvc.lock.kept'} cannot be written; .*Make room"),
        (
            PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a")),
            f"{tmp_path / 'a'} may not",
        ),
        (sqlite3.OperationalError("database or disk is full"), "a disk is full"),
    ):
        with pytest.raises(UserError, match=message), explain_disk_faults():
            raise fault
    with pytest.raises(FileNotFoundError), explain_disk_faults():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "a")


def test_what_a_stage_says_of_rights_of_its_own_is_no_fault_of_the_cache() -> None:
    assert explain_faults(["sh: 1: ./tool: Permission denied"]) == []
