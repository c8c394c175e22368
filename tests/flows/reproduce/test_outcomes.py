from __future__ import annotations

import pytest

from flows.process import Finished
from flows.reproduce.outcomes import Ending, classify, explain_signal


def stage_failed(*lines: str, status: int = 1) -> Finished:
    return Finished(
        255, (*lines, f"ERROR: failed to reproduce 'a': failed to run: python -m a, exited with {status}")
    )


@pytest.mark.parametrize(
    ("finished", "ending"),
    [
        (Finished(0, ()), Ending.PASSED),
        (Finished(-9, ()), Ending.DIED),
        (stage_failed(status=-9), Ending.DIED),
        (stage_failed(status=137), Ending.DIED),
        (stage_failed("OSError: [Errno 5] Input/output error"), Ending.DIED),
        (stage_failed("ConnectionResetError: [Errno 104] Connection reset by peer"), Ending.DIED),
        (stage_failed("urllib3.exceptions.ProtocolError: ('Connection aborted.',)"), Ending.DIED),
        (stage_failed("requests.exceptions.ConnectionError: host gone"), Ending.DIED),
        (stage_failed("params.yaml: 1 setting(s) break the rules"), Ending.FAULT),
        (stage_failed("FileNotFoundError: [Errno 2] No such file or directory: 'x'"), Ending.FAULT),
        (stage_failed("OSError: [Errno 28] No space left on device"), Ending.FAULT),
        (stage_failed("Traceback (most recent call last):", "KeyError: 'x'"), Ending.FAULT),
        (stage_failed(status=2), Ending.FAULT),
        (stage_failed(status=168), Ending.FAULT),  # 128 + a number that no signal has
        (
            stage_failed(
                "a.zip: ConnectionResetError: [Errno 104] Connection reset by peer; trying again",
                "a.zip: the checksum differs; fetch it again",
            ),
            Ending.FAULT,
        ),
        (
            Finished(
                1, ("ERROR: failed to transfer 'x' - Could not connect to the endpoint URL: http://s3",)
            ),
            Ending.DIED,
        ),
        (Finished(1, ("ERROR: failed to transfer 'x' - Access Denied",)), Ending.FAULT),
        (
            Finished(255, ("ERROR: failed to reproduce 'e': 'w' is busy, it is being blocked by:",)),
            Ending.BUSY,
        ),
        (Finished(255, ("ERROR: Unable to acquire lock. Most likely another DVC process",)), Ending.BUSY),
        (Finished(1, ("ERROR: 'dvc.yaml' is invalid.",)), Ending.FAULT),
    ],
)
def test_what_may_pass_by_itself_is_told_from_what_will_not(finished: Finished, ending: Ending) -> None:
    assert classify(finished) is ending


def test_a_signal_is_named_with_its_remedy() -> None:
    assert "memory runs out" in explain_signal(stage_failed(status=-9))
    assert "SIGSEGV" in explain_signal(stage_failed(status=-11))
    assert explain_signal(stage_failed("params.yaml: 1 setting(s) break the rules")) == ""
