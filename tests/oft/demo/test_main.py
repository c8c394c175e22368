"""How the page is started, and what stops it before it is."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from oft.demo.__main__ import free_port, serve
from oft.errors import ParamsError, UserError


def test_without_gradio_the_target_that_installs_it_is_named(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "oft.demo.page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # set anew by what is started, and put back
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "")
    with pytest.raises(UserError, match="make demo"):
        serve(None)


def test_without_a_run_there_is_nothing_to_try(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        serve(None)
    (tmp_path / "params.yaml").write_bytes((run / "params.yaml").read_bytes())
    with pytest.raises(UserError, match="make repro"):
        serve(None)


def test_a_free_port_can_be_had() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))
