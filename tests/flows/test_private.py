from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from flows.commands import dvc_environment, require_dvc
from flows.graph import open_repository
from flows.private import SITE_CACHE, configure_clone, private_folder, site_cache
from oft.errors import UserError
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


def test_the_site_cache_is_the_users_own_and_the_environment_may_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SITE_CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = Path(dvc_environment()[SITE_CACHE])
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv(SITE_CACHE, str(tmp_path / "other"))
    assert site_cache() == tmp_path / "other"
    monkeypatch.delenv(SITE_CACHE)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert site_cache() == tmp_path / ".cache" / "oft-dvc"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UserError, match=r"nobody else may write to.*or let FOLDER name another"):
        private_folder(tmp_path, "FOLDER")


def test_a_link_and_a_folder_of_somebody_elses_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    with pytest.raises(UserError, match="folder of your own"):
        private_folder(tmp_path / "link", "FOLDER")
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    with pytest.raises(UserError, match="folder of your own"):
        private_folder(tmp_path / "own", "FOLDER")
    with pytest.raises(UserError, match=r"cannot be made.*let FOLDER name"):
        private_folder(Path("/proc/none"), "FOLDER")


def test_services_that_run_dvc_keep_its_site_cache_private() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    assert compose["services"]["worker"]["environment"][SITE_CACHE].startswith("${OFT_CLONE}/")
    unit = (ROOT / "deploy" / "systemd" / "oft-worker@.service").read_text().splitlines()
    assert {
        "CacheDirectory=oft",
        "CacheDirectoryMode=0700",
        f"Environment={SITE_CACHE}=/var/cache/oft/dvc",
    } <= set(unit)
