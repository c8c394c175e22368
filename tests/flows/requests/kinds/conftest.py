"""What the tests of the kinds share: profiles composed once, and requests checked against this repository."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flows.requests import checks, settings
from flows.requests.collecting import Collector
from flows.requests.kinds import CommonRequest
from flows.requests.request import parse_request
from flows.requests.settings import make_settings
from flows.requests.site import Site
from oft.errors import ParamsError
from oft.profiles import compose_profile
from tests.conftest import ROOT

CONF = ROOT / "conf"
Faults = Callable[[dict[str, Any]], str]
Place = Callable[[dict[str, Any]], dict[str, Any]]

composed = cache(compose_profile)


@pytest.fixture(autouse=True)
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles do not change while these tests run, and composing one takes seconds."""
    for module in (checks, settings):
        monkeypatch.setattr(module, "compose_profile", lambda *name: deepcopy(composed(*name)))


@pytest.fixture
def faults(site: Site) -> Faults:
    """Returns what is wrong with a request."""

    def refuse(values: dict[str, Any]) -> str:
        with pytest.raises(ParamsError) as raised:
            parse_request(values, site)
        return str(raised.value)

    return refuse


@pytest.fixture
def place(site: Site, tmp_path: Path) -> Place:
    """Places a request's pictures in a folder of its own, and returns the settings of its run."""

    def run(values: dict[str, Any]) -> dict[str, Any]:
        request: CommonRequest = parse_request(values, site)
        made = make_settings(request, CONF)
        files = tmp_path / f"files{len(list(tmp_path.iterdir()))}"
        files.mkdir()
        request.place(made, Collector(64, files, site), tmp_path / "clone")
        return made

    return run
