from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from flows.commands import require_dvc
from flows.graph import open_repository
from flows.private import configure_clone
from oft.errors import UserError
from oft.storage.private import SITE_CACHE, site_cache
from tests.conftest import ROOT
from tests.flows.conftest import MakeRepository


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, int, bool]]:
        return os.makedirs, (str(self.mark), 0o777, True)


@pytest.fixture
def planted(
    make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A repository whose own site cache is everybody's, with a pickle in it, and what that leaves behind."""
    from dvc.repo import Repo

    root, mark, shared = make_repository("stages: {}\n"), tmp_path / "ran", tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.delenv(SITE_CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    with Repo(str(root)) as repo, repo.config.edit("repo") as config:
        config["core"]["site_cache_dir"] = str(shared)  # as DVC's default: the environment goes before both
    with Repo(str(root)) as repo:
        assert Path(repo.site_cache_dir).is_relative_to(shared)
        repo.state.links["source.txt"] = Planted(mark)
    return root, mark


def test_what_others_plant_in_a_shared_site_cache_never_runs(
    planted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    root, mark = planted
    with Repo(str(root)) as repo:
        repo.checkout()
    assert mark.exists(), "plain DVC runs it: this test can fail"
    mark.rmdir()
    require_dvc(["checkout"], root=root, log=print)
    with open_repository(root) as repo:
        assert Path(repo.site_cache_dir).is_relative_to(site_cache())
        repo.checkout()
    monkeypatch.delenv(SITE_CACHE)
    configure_clone(root)
    with Repo(str(root)) as repo:
        repo.checkout()
    monkeypatch.setenv(SITE_CACHE, str(root / "shared"))
    for run in (
        lambda: require_dvc(["checkout"], root=root, log=print),
        lambda: open_repository(root).__enter__(),
    ):
        with pytest.raises(
            UserError, match="shared must be a folder of your own that nobody else may write to"
        ):
            run()
    assert not mark.exists()


def test_services_that_run_dvc_keep_its_site_cache_private() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    assert compose["services"]["worker"]["environment"][SITE_CACHE].startswith("${OFT_CLONE}/")
    unit = (ROOT / "deploy" / "systemd" / "oft-worker@.service").read_text().splitlines()
    assert {
        "CacheDirectory=oft",
        "CacheDirectoryMode=0700",
        f"Environment={SITE_CACHE}=/var/cache/oft/dvc",
    } <= set(unit)
