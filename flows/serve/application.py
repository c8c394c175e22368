"""``python -m flows.serve.application``: Prefect's server, behind checks of whom a request is for and from.

Any page that is open in a browser on this machine can send requests to 127.0.0.1, and under a name of its own
that leads there (DNS rebinding) it reads the answers too. Prefect checks no Host header, and its tokens
against forged requests do not cover WebSockets.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.process import user_errors
from flows.server import SERVER_AUTH
from oft.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# What a browser says of a page, and the host in it; a slash behind it is no part.
_ORIGIN = re.compile(r"(https?://([^\s/?#@*:\[\]]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)/?")


def create_app() -> ASGIApp:
    """Return Prefect's application with the environment's settings, guarded.

    PREFECT_SERVER_CORS_ALLOWED_ORIGINS has the addresses that it may be called by beside this machine's.
    """
    from prefect.server.api.server import create_app as create_prefect_app
    from prefect.settings import get_current_settings

    origins = get_current_settings().server.api.cors_allowed_origins.split(",")
    return guard(create_prefect_app(final=True), origins)


def guard(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """Return ``app`` for requests to this machine or the host of an origin, from no other site's page.

    Args:
        origins: ``scheme://host[:port]``; ``*``, Prefect's default, allows nothing.

    Raises:
        UserError: an origin is none.
    """
    names, allowed = set(LOOPBACK), set()
    for origin in (origin.strip() for origin in origins):
        if origin in ("", "*"):
            continue
        found = _ORIGIN.fullmatch(origin.lower())
        if found is None:
            raise UserError(
                "PREFECT_SERVER_CORS_ALLOWED_ORIGINS must have origins such as https://oft.example.org, with "
                f"commas between, no path and no *, got {origin!r}; correct it"
            )
        allowed.add(found[1])
        names.add(found[2])
    return TrustedHostMiddleware(
        OriginMiddleware(app, allowed), allowed_hosts=sorted(names), www_redirect=False
    )


class OriginMiddleware:
    """Refuses requests and WebSockets that a browser sends for a page of another site.

    CORS hides the answer from such a page; what the request does has been done by then.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            for origin in headers.getlist("origin"):
                if origin not in self._origins and origin.partition("://")[2] != headers.get("host"):
                    app = PlainTextResponse(
                        "The page that sent this is not of this server. Its operator adds a page's origin to "
                        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS.",
                        status_code=403,
                    )
        await app(scope, receive, send)


def main() -> None:
    """Serve where Prefect's settings say, PREFECT_SERVER_API_HOST and PREFECT_SERVER_API_PORT.

    Raises:
        UserError: there is no password.
    """
    import uvicorn
    from prefect.settings import get_current_settings

    server = get_current_settings().server
    if not (server.api.auth_string and server.api.auth_string.get_secret_value()):
        raise UserError(
            f"{SERVER_AUTH} is not set: give user:password. Who may use this server may run code on workers."
        )
    uvicorn.run(
        create_app(),
        host=server.api.host,
        port=server.api.port,
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    with user_errors():
        main()
