"""The client follows a run for as long as it goes on, also over a restart of the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import requests
from flows.requests.client import RECONNECT_SECONDS, Client, NoAnswerError, TrainingRun
from oft.errors import UserError

from .conftest import Seen, WebServer

RUN = "2b8ee1a6-5dbc-4b2c-9c0a-0a1d2d8a7c55"


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def client(web: WebServer) -> Iterator[Client]:
    """A client of a server with one run that has completed after it was asked for three times."""
    states = iter(["PENDING", "RUNNING", "COMPLETED"])

    def answer(seen: Seen) -> tuple[int, dict[str, str], bytes]:
        lines = [{"id": "1", "timestamp": "2026-01-01T00:00:00+00:00", "message": "a line"}]
        told: dict[str, Any] = {
            f"/flow_runs/{RUN}": lambda: {"id": RUN, "name": "x", "state": {"type": next(states)}},
            "/flow_runs/filter": lambda: [],
            "/logs/filter": lambda: lines,
        }
        return 200, {}, json.dumps(told[seen.path]()).encode()

    web.answer = answer
    with Client(web.url) as opened:
        yield opened


def lose(monkeypatch: pytest.MonkeyPatch, client: Client, clock: Clock, since: float, seconds: float) -> None:
    """Let the server be away for a while, as whoever starts it again would have it."""
    ask = requests.Session.request

    def request(session: requests.Session, *arguments: Any, **options: Any) -> requests.Response:
        if since <= clock.seconds < since + seconds:
            raise requests.ConnectionError("refused")
        return ask(session, *arguments, **options)

    monkeypatch.setattr(requests.Session, "request", request)


def test_the_client_waits_for_a_restarting_server(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    clock = Clock()
    lose(monkeypatch, client, clock, 1.0, RECONNECT_SECONDS - 10)
    first, lost, ended = client.follow(RUN, clock.sleep, clock.now)
    assert first == "a line"
    assert "no Prefect server answers" in str(lost) and "trying again for 8.5 minutes" in str(lost)
    assert isinstance(ended, TrainingRun) and ended.state == "COMPLETED"


def test_the_client_gives_up_on_a_server_that_stays_away(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    clock = Clock()
    lose(monkeypatch, client, clock, 1.0, 1e9)
    with pytest.raises(NoAnswerError, match="no Prefect server answers"):
        list(client.follow(RUN, clock.sleep, clock.now))
    assert RECONNECT_SECONDS < clock.seconds < RECONNECT_SECONDS + 10


def test_the_client_does_not_wait_for_a_server_that_never_answered(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    clock = Clock()
    lose(monkeypatch, client, clock, 0.0, 1e9)
    with pytest.raises(NoAnswerError, match="no Prefect server answers"):
        list(client.follow(RUN, clock.sleep, clock.now))
    assert clock.seconds == 0.0


def test_the_client_waits_for_a_starting_server(client: Client, web: WebServer) -> None:
    clock, answer = Clock(), web.answer
    web.answer = lambda seen: (503, {}, b"") if 1.0 < clock.seconds < 5.0 else answer(seen)
    _, lost, ended = client.follow(RUN, clock.sleep, clock.now)
    assert "is not ready (status 503)" in str(lost)
    assert isinstance(ended, TrainingRun) and ended.state == "COMPLETED"


def test_a_server_that_guards_changes_issues_a_token_and_a_new_one_when_that_has_expired(
    client: Client, web: WebServer
) -> None:
    """As Prefect does with PREFECT_SERVER_CSRF_PROTECTION_ENABLED."""
    issued: dict[str, str] = {}

    def guarded(seen: Seen) -> tuple[int, dict[str, str], bytes]:
        path, _, query = seen.path.partition("?client=")
        if path == "/csrf-token":
            issued[query] = f"token-{len(issued)}"
            return 200, {}, json.dumps({"token": issued[query]}).encode()
        name = seen.headers.get("prefect-csrf-client", "")
        if seen.method == "POST" and issued.get(name) != seen.headers.get("prefect-csrf-token", ""):
            return 403, {}, b'{"detail": "Invalid CSRF token or client identifier."}'
        return answer(seen)

    answer, web.answer = web.answer, guarded
    assert client.logs(RUN) == ["a line"]
    assert client.logs(RUN) == ["a line"] and list(issued.values()) == ["token-0"]
    issued[next(iter(issued))] = "expired"
    assert client.logs(RUN) == ["a line"] and list(issued.values()) == ["expired", "token-1"]


def test_a_missing_password_is_told_with_the_remedy(client: Client, web: WebServer) -> None:
    web.answer = lambda _: (401, {}, b"{}")
    with pytest.raises(UserError, match="asks for a password: set PREFECT_API_AUTH_STRING=user:password"):
        client.read(RUN)
