from __future__ import annotations

import pytest

from flows.process import CommandResult
from flows.reproduce.outcomes import Outcome, classify, explain_signal


def stage_failed(*lines: str, status: int = 1) -> CommandResult:
    return CommandResult(
        255, (*lines, f"ERROR: failed to reproduce 'a': failed to run: python -m a, exited with {status}")
    )


@pytest.mark.parametrize(
    ("finished", "ending"),
    [
        (CommandResult(0, ()), Outcome.PASSED),
        (CommandResult(-9, ()), Outcome.CRASHED),
        (stage_failed(status=-9), Outcome.CRASHED),
        (stage_failed(status=137), Outcome.CRASHED),
        (stage_failed("OSError: [Errno 5] Input/output error"), Outcome.CRASHED),
        (stage_failed("ConnectionResetError: [Errno 104] Connection reset by peer"), Outcome.CRASHED),
        (stage_failed("urllib3.exceptions.ProtocolError: ('Connection aborted.',)"), Outcome.CRASHED),
        (stage_failed("requests.exceptions.ConnectionError: host gone"), Outcome.CRASHED),
        (stage_failed("params.yaml: 1 setting(s) break the rules"), Outcome.FAILED),
        (stage_failed("FileNotFoundError: [Errno 2] No such file or directory: 'x'"), Outcome.FAILED),
        (stage_failed("OSError: [Errno 28] No space left on device"), Outcome.FAILED),
        (stage_failed("Traceback (most recent call last):", "KeyError: 'x'"), Outcome.FAILED),
        (stage_failed(status=2), Outcome.FAILED),
        (stage_failed(status=168), Outcome.FAILED),  # 128 + a number that no signal has
        (
            stage_failed(
                "a.zip: ConnectionResetError: [Errno 104] Connection reset by peer; trying again",
                "a.zip: the checksum differs; fetch it again",
            ),
            Outcome.FAILED,
        ),
        (
            CommandResult(
                1, ("ERROR: failed to transfer 'x' - Could not connect to the endpoint URL: http://s3",)
            ),
            Outcome.CRASHED,
        ),
        (CommandResult(1, ("ERROR: failed to transfer 'x' - Access Denied",)), Outcome.FAILED),
        (
            CommandResult(255, ("ERROR: failed to reproduce 'e': 'w' is busy, it is being blocked by:",)),
            Outcome.BUSY,
        ),
        (
            CommandResult(255, ("ERROR: Unable to acquire lock. Most likely another DVC process",)),
            Outcome.BUSY,
        ),
        (CommandResult(1, ("ERROR: 'dvc.yaml' is invalid.",)), Outcome.FAILED),
    ],
)
def test_transient_errors_are_told_from_lasting_ones(finished: CommandResult, ending: Outcome) -> None:
    assert classify(finished) is ending


def test_a_signal_is_named_with_its_remedy() -> None:
    assert "memory runs out" in explain_signal(stage_failed(status=-9))
    assert "SIGSEGV" in explain_signal(stage_failed(status=-11))
    assert explain_signal(stage_failed("params.yaml: 1 setting(s) break the rules")) == ""
