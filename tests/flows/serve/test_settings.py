from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flows.serve.settings import (
    HOST,
    Address,
    choose_password,
    choose_port,
    server_environment,
    worker_environment,
)
from flows.serve.supervision import describe_serving
from oft.errors import UserError

ADDRESS = Address(4321)
URL = "postgresql+asyncpg://prefect:pl4nted@db.example/prefect"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", URL)
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "user:an0ther")


def test_a_taken_port_is_refused_and_0_is_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: .*in use.* 0 for one that is free"):
            choose_port(port)
        assert choose_port(0) not in (0, port)


@pytest.mark.usefixtures("secrets")
def test_the_databases_password_is_the_servers_alone(tmp_path: Path) -> None:
    password = choose_password()
    server = server_environment(tmp_path, ADDRESS, password, "mark")
    worker = worker_environment(tmp_path, ADDRESS, password, "mark")
    assert server["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == URL
    assert not any("pl4nted" in value for value in worker.values())
    assert worker["PREFECT_API_AUTH_STRING"] == server["PREFECT_SERVER_API_AUTH_STRING"] == "user:an0ther"
    assert "an0ther" not in describe_serving(ADDRESS, password, [], tmp_path)


@pytest.mark.parametrize("given", [None, ""])
def test_a_server_without_a_password_gets_one_that_nobody_has_and_shows_it_once(
    given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    if given is not None:
        monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", given)
    password, other = choose_password(), choose_password()
    assert password != other and min(len(password), len(other)) >= 32
    assert (
        server_environment(tmp_path, ADDRESS, password, "mark")["PREFECT_SERVER_API_AUTH_STRING"] == password
    )
    assert worker_environment(tmp_path, ADDRESS, password, "mark")["PREFECT_API_AUTH_STRING"] == password
    assert f"PREFECT_API_AUTH_STRING={password}" in describe_serving(ADDRESS, password, [], tmp_path)


def test_pages_of_other_sites_start_nothing(tmp_path: Path) -> None:
    server = server_environment(tmp_path, ADDRESS, "user:password", "mark")
    assert server["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    assert server["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4321"


def test_the_server_listens_on_this_machine_whatever_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_HOST", "0.0.0.0")
    server = server_environment(tmp_path, ADDRESS, "user:password", "mark")
    assert (server["PREFECT_SERVER_API_HOST"], server["PREFECT_SERVER_API_PORT"]) == (HOST, "4321")
