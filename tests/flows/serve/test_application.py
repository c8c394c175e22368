"""Whom the server answers: nobody in another's name, and no page of another site."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from flows.serve.application import guard, main
from flows.server import SERVER_AUTH
from oft.errors import UserError

ORIGINS = ["http://127.0.0.1:4200", "https://oft.example.org", "https://[2606:4700::1]:8443"]


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("answered")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("answered")
    await websocket.close()


@pytest.fixture
def client() -> TestClient:
    routes = [Route("/", answer, methods=["GET", "POST"]), WebSocketRoute("/talk", talk)]
    return TestClient(guard(Starlette(routes=routes), ORIGINS))


SOUND: list[dict[str, str]] = [
    {"host": "127.0.0.1:4200"},
    {"host": "localhost"},
    {"host": "[::1]:4200"},
    {"host": "OFT.example.org"},
    {"host": "[2606:4700::1]:8443"},
    {"host": "127.0.0.1:4200", "origin": "https://oft.example.org"},
    {"host": "localhost:4201", "origin": "http://localhost:4201"},  # the server's own page, by a tunnel
]
FOREIGN: list[tuple[int, dict[str, str]]] = [
    (400, {"host": "evil.example"}),
    (400, {"host": "evil.example:4200", "origin": "http://evil.example:4200"}),  # a rebound name
    (400, {"host": "127.0.0.1.evil.example"}),
    (400, {"host": "127.0.0.1@evil.example"}),
    (400, {"host": ""}),
    (403, {"host": "127.0.0.1:4200", "origin": "http://evil.example"}),
    (403, {"host": "127.0.0.1:4200", "origin": "http://127.0.0.1:8000"}),  # another server's page
    (403, {"host": "127.0.0.1:4200", "origin": "null"}),
    (403, {"host": "127.0.0.1:4200", "origin": ""}),
    (403, {"host": "127.0.0.1:4200", "origin": "http://["}),
]


@pytest.mark.parametrize("headers", SOUND, ids=str)
def test_the_servers_own_names_and_pages_are_answered(client: TestClient, headers: Mapping[str, str]) -> None:
    for method in ("GET", "POST"):
        assert client.request(method, "/", headers=headers).text == "answered"
    with client.websocket_connect("/talk", headers=dict(headers)) as socket:
        assert socket.receive_text() == "answered"


@pytest.mark.parametrize(("status", "headers"), FOREIGN, ids=str)
def test_others_are_refused(client: TestClient, status: int, headers: Mapping[str, str]) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert client.request(method, "/", headers=headers).status_code == status
    with (
        pytest.raises(WebSocketDenialResponse) as raised,
        client.websocket_connect("/talk", headers=dict(headers)),
    ):
        pytest.fail("was let in")
    assert raised.value.status_code == status


def test_prefects_default_of_all_origins_allows_none() -> None:
    client = TestClient(guard(Starlette(routes=[Route("/", answer)]), ["*"]))
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    foreign = {"host": "127.0.0.1", "origin": "http://evil.example"}
    assert client.get("/", headers=foreign).status_code == 403


@pytest.mark.parametrize(
    "origin",
    ["http://*", "https://*.example.org", "http://[", "ftp://example.org", "oft.example.org", "http://a/b"],
)
def test_what_is_no_origin_is_refused_and_opens_nothing(origin: str) -> None:
    with pytest.raises(UserError, match=r"CORS_ALLOWED_ORIGINS must have origins .*, got ") as raised:
        guard(Starlette(), ["http://127.0.0.1:4200", origin])
    assert repr(origin) in str(raised.value)


def test_a_slash_behind_an_origin_and_space_before_it_are_none_of_it() -> None:
    routes = [Route("/", answer)]
    client = TestClient(guard(Starlette(routes=routes), ["http://127.0.0.1", " https://OFT.example.org/"]))
    for host in ("127.0.0.1", "oft.example.org:8443"):
        headers = {"host": host, "origin": "https://oft.example.org"}
        assert client.get("/", headers=headers).text == "answered"


def test_a_server_without_a_password_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_SERVER_API_AUTH_STRING, temporary_settings

    with (
        temporary_settings(restore_defaults={PREFECT_SERVER_API_AUTH_STRING}),
        pytest.raises(UserError, match=f"{SERVER_AUTH} is not set: give user:password"),
    ):
        main()
