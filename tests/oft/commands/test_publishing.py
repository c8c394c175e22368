"""`oft publish` to the hub: one commit of the adapter and its card; the hub is stood in for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from typer.testing import CliRunner

from oft.cli import app
from oft.errors import UserError
from tests.adapters import Saver


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the hub's API."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Api:
        def create_repo(self, repo_id: str, **options: Any) -> None:
            calls.append((repo_id, options))

        def create_commit(self, repo_id: str, operations: list[Any], **options: Any) -> Any:
            files = {each.path_in_repo: each.path_or_fileobj for each in operations}
            calls.append((repo_id, {"files": files}))
            return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return calls


def publish(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, ["publish", *map(str, arguments)], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_an_adapter_and_its_card_are_one_commit(hub: list[Any], saved: Saver) -> None:
    folder = saved("oft")
    (folder / ".hidden").touch()
    (folder / "README.md").write_text("old", encoding="utf-8")
    assert "https://huggingface.co/me/rex/commit/1" in publish(folder, "hf://me/rex")
    (made, commit) = hub
    assert made == ("me/rex", {"private": True, "exist_ok": True})
    names = {path.name for path in folder.iterdir()} - {".hidden"}
    assert set(commit[1]["files"]) == names
    assert commit[1]["files"]["README.md"].startswith(b"---\n")


def test_it_is_public_on_demand(hub: list[Any], saved: Saver) -> None:
    publish(saved("oft"), "hf://me/rex", "--public")
    assert hub[0][1]["private"] is False


@pytest.mark.parametrize("url", ["hf://", "hf://a/b/c", "hf://me/.."])
def test_a_name_that_is_none_is_refused(hub: list[Any], saved: Saver, url: str) -> None:
    with pytest.raises(UserError, match="OWNER/NAME"):
        publish(saved("oft"), url)
    assert not hub


def test_what_is_no_adapter_is_refused(hub: list[Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        publish(tmp_path, "hf://me/rex")
    assert not hub


def test_what_the_hub_says_is_passed_on(
    hub: list[Any], saved: Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError("no way there")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(UserError, match=r"no way there.*hf auth login"):
        publish(saved("oft"), "hf://me/rex")
