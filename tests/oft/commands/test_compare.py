"""The command compare: metrics here against those of a git revision, from git or DVC's cache."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from typer.testing import CliRunner

from oft.cli import app
from oft.errors import UserError
from oft.storage import dump_yaml

CACHED, TRACKED = "runs/canny_coco/oft/metrics.json", "runs/canny_coco/none/metrics.json"


def write(name: str, values: object) -> bytes:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path.read_bytes()


@pytest.fixture
def cache_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose commit has one file of metrics in git and one in DVC's cache, which is returned."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    Repo.init(str(tmp_path)).close()
    Path("params.yaml").write_text(dump_yaml({"seed": 0, "train": {"learning_rate": 1e-5}}))
    write(TRACKED, {"f1": 0.25})
    content = write(CACHED, {"f1": 0.5, "num": 4})
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    cached = tmp_path / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    Path("dvc.yaml").write_text(dump_yaml({"stages": {"evaluate": {"cmd": "true", "metrics": [CACHED]}}}))
    out = {"path": CACHED, "hash": "md5", "md5": digest, "size": len(content)}
    locked = {"schema": "2.0", "stages": {"evaluate": {"cmd": "true", "outs": [out]}}}
    Path("dvc.lock").write_text(dump_yaml(locked))
    Path(".gitignore").write_text(f"/{CACHED}\n")
    for arguments in (
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "--quiet", "-m", "x"],
    ):
        subprocess.run(["git", *arguments], check=True)
    return cached


def test_metrics_from_git_and_cache_are_compared_with_those_here(cache_file: Path) -> None:
    same = CliRunner().invoke(app, ["compare", "HEAD"], catch_exceptions=False)
    assert same.exit_code == 0 and "3 of 3 metrics agree" in same.stdout
    write(CACHED, {"f1": 0.51, "num": 4})
    apart = CliRunner().invoke(app, ["compare", "HEAD"], catch_exceptions=False)
    assert apart.exit_code == 1 and "2 of 3 metrics agree" in apart.stdout
    [row] = [line for line in apart.stdout.splitlines() if "no (" in line]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells == ["canny_coco", "oft", "f1", "0.5", "0.51", "0.01", "no (0.0051)"]
    near = CliRunner().invoke(app, ["compare", "HEAD", "--tolerance", "0.03"], catch_exceptions=False)
    assert near.exit_code == 0
    rows = [{"key": str(key), "index": 0, "f1": key / 10} for key in range(10)]
    write("runs/canny_coco/oft/plots/per_image.json", rows)
    assert CliRunner().invoke(app, ["compare", "HEAD"], catch_exceptions=False).exit_code == 0


def test_settings_that_differ_are_named_and_do_not_agree(cache_file: Path) -> None:
    Path("params.yaml").write_text("seed: 1\ntrain: {learning_rate: 1e-05}\n")
    result = CliRunner().invoke(app, ["compare", "HEAD"], catch_exceptions=False)
    assert result.exit_code == 1 and result.stdout.startswith("params.yaml: seed: HEAD 0, here 1\ntask ")


def test_metrics_that_are_not_on_this_machine_are_named_with_the_remedy(cache_file: Path) -> None:
    cache_file.unlink()
    with pytest.raises(UserError, match=rf"1 of 2 metrics of HEAD .*{CACHED}.*make pull"):
        CliRunner().invoke(app, ["compare", "HEAD"], catch_exceptions=False)


def test_an_unknown_revision_is_refused(cache_file: Path) -> None:
    with pytest.raises(UserError, match="revision 'nowhere' cannot be read"):
        CliRunner().invoke(app, ["compare", "nowhere"], catch_exceptions=False)


def test_a_planted_site_cache_is_not_read(
    cache_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC's own is everybody's to write to, and DVC unpickles what lies there."""
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert CliRunner().invoke(app, ["compare", "HEAD"], catch_exceptions=False).exit_code == 0
    with Repo(str(tmp_path)) as repo:
        assert Path(repo.site_cache_dir).is_relative_to(tmp_path / "home" / "oft-dvc")
