"""`oft profile` names the profiles that there are."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from oft.cli import app
from oft.commands.profile import describe_name
from oft.profiles import list_profiles
from tests.conftest import ROOT


def test_help_names_every_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = list_profiles(ROOT / "conf")
    assert names and all(f" {name}" in describe_name() for name in names)
    assert CliRunner().invoke(app, ["profile", "--help"]).exit_code == 0
