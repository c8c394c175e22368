"""The environment of a team member on a loopback S3."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .team import make_repository


@pytest.fixture
def environment(s3: Any, tmp_path: Path) -> dict[str, str]:
    """This test's environment; botocore tries once, which leaves s3fs's own five tries."""
    settings = tmp_path / "empty"
    settings.touch()  # aiobotocore, unlike boto3, takes /dev/null for missing
    return {
        **os.environ,
        "AWS_CONFIG_FILE": str(settings),
        "AWS_SHARED_CREDENTIALS_FILE": str(settings),
        "AWS_MAX_ATTEMPTS": "1",
        "DVC_NO_ANALYTICS": "1",
    }


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny repository with all its results, of which tests take copies."""
    return make_repository(tmp_path_factory.mktemp("faults") / "repository")
