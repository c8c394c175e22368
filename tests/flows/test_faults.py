"""What DVC prints of disks and of S3 is told with its meaning and a remedy, once a kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.commands import describe_failure
from flows.faults import explain_faults
from flows.process import CommandResult


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
