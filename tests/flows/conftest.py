"""A Prefect server and tiny DVC repositories for the tests of the flows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

CHAIN = """
stages:
  third:
    cmd:
      - echo third >> ran.txt
      - cat b > c
      - |
        echo '{"size": 3, "share": 0.123456}' > metrics.json
    deps: [b]
    outs: [c]
    metrics: [metrics.json]
  first:
    cmd: echo first >> ran.txt && echo one > a
    deps: [source.txt]
    outs: [a]
  second:
    cmd: echo second >> ran.txt && cat a > b
    deps: [a]
    outs: [b]
"""
"""Three stages, the last one declared first; each says in ran.txt, which DVC does not know, that it ran."""


class MakeRepository(Protocol):
    def __call__(self, dvc_yaml: str = CHAIN, **files: str) -> Path: ...


def init_repository(root: Path, dvc_yaml: str = CHAIN, **files: str) -> Path:
    """Make ``root`` a DVC repository without git that holds ``dvc_yaml`` and text files (by stem)."""
    from dvc.repo import Repo

    with Repo.init(str(root), no_scm=True) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, check_update=False)
    (root / "dvc.yaml").write_text(dvc_yaml)
    for name, text in {"source": "source", **files}.items():
        (root / f"{name}.txt").write_text(text)
    return root


@pytest.fixture
def make_repository(tmp_path: Path) -> MakeRepository:
    """Makes the test's folder a DVC repository; see `init_repository`."""
    return partial(init_repository, tmp_path)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One temporary Prefect server and database for the whole session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
