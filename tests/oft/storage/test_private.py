"""Folders of trusted files are this user's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oft.errors import UserError
from oft.storage.private import SITE_CACHE, private_folder, site_cache


def test_the_site_cache_is_the_users_own_and_the_environment_may_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SITE_CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = site_cache()
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
