"""Webhooks: signed as standardwebhooks.com says, tried again with the same id, never a reason to fail."""

from __future__ import annotations

import base64
import socket
from contextlib import closing

import pytest

from flows.requests import webhook
from flows.requests.site import Site
from flows.requests.webhook import BACKOFF_SECONDS, deliver, make_event, read_key, sign
from oft.errors import ParamsError

from .conftest import SECRET, WebServer

KEY = read_key(SECRET)
EVENT = make_event("run-1", "completed", "", {"address": "s3://bucket/x"})


def test_the_signature_is_that_of_the_published_example() -> None:
    """The example of https://www.standardwebhooks.com and its libraries' tests."""
    key = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "no base64 planted!", "whsec_é"])
def test_a_weak_or_broken_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ParamsError, match="base64 of 24 bytes or more") as raised:
        read_key(secret)
    assert not secret or secret == "whsec_" or secret not in str(raised.value)


def test_a_busy_receiver_is_asked_again_with_the_same_id_and_body(web: WebServer, site: Site) -> None:
    statuses = iter([503, 500, 200])
    web.answer = lambda _: (next(statuses), {}, b"")
    waited: list[float] = []
    trusting = site._replace(hosts=frozenset({web.authority}))
    times = iter([100.0, 101.0, 105.0])
    delivery = deliver(EVENT, f"{web.url}/hook", KEY, trusting, sleep=waited.append, now=lambda: next(times))
    assert delivery == (True, ("status 503", "status 500", "status 200"))
    assert waited == list(BACKOFF_SECONDS[:2])
    assert {seen.body for seen in web.seen} == {EVENT.body}
    assert {seen.headers["webhook-id"] for seen in web.seen} == {"run-1.completed"}
    assert [seen.headers["webhook-timestamp"] for seen in web.seen] == ["100", "101", "105"]
    for seen in web.seen:
        timestamp = int(seen.headers["webhook-timestamp"])
        assert seen.headers["webhook-signature"] == sign(KEY, EVENT.id, timestamp, seen.body)


def test_a_receiver_that_is_down_for_good_ends_in_a_report(site: Site) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        authority = f"127.0.0.1:{server.getsockname()[1]}"
    waited: list[float] = []
    trusting = site._replace(hosts=frozenset({authority}))
    delivery = deliver(EVENT, f"http://{authority}/planted", KEY, trusting, sleep=waited.append)
    assert not delivery.delivered and len(delivery.attempts) == len(BACKOFF_SECONDS) + 1
    assert waited == list(BACKOFF_SECONDS)
    assert "planted" not in "".join(delivery.attempts)


def test_a_receiver_that_hangs_is_left_and_asked_again(
    site: Site, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    monkeypatch.setattr(webhook, "SECONDS", 0.3)
    released = threading.Event()
    calls: list[int] = []

    def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        calls.append(1)
        if len(calls) == 1:
            released.wait(30)
        return 204, {}, b""

    web.answer = answer
    trusting = site._replace(hosts=frozenset({web.authority}))
    delivery = deliver(EVENT, web.url, KEY, trusting, sleep=lambda _: None)
    released.set()
    assert delivery.delivered and delivery.attempts[0] == "no answer in time"


def test_a_receiver_that_is_gone_or_not_allowed_is_not_asked_again(web: WebServer, site: Site) -> None:
    web.answer = lambda _: (410, {}, b"")
    trusting = site._replace(hosts=frozenset({web.authority}))
    assert deliver(EVENT, web.url, KEY, trusting) == (False, ("status 410",))
    port = web.authority.partition(":")[2]
    delivery = deliver(EVENT, f"https://localhost:{port}/", KEY, site)
    assert len(web.seen) == len(delivery.attempts) == 1
    assert "no public address" in delivery.attempts[0]


def test_ten_lines_of_a_receiver_verify_what_is_sent() -> None:
    """What docs/requests.md shows, word for word."""
    from tests.conftest import ROOT

    text = (ROOT / "docs" / "requests.md").read_text(encoding="utf-8")
    source = text.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(compile(source, "docs/requests.md", "exec"), names)
    verify = names["verify"]
    assert callable(verify)
    of_another_key = f"v1,{base64.b64encode(bytes(32)).decode()}"
    headers = {
        "webhook-id": EVENT.id,
        "webhook-timestamp": "1000",
        "webhook-signature": f"{of_another_key} {sign(KEY, EVENT.id, 1000, EVENT.body)}",
    }
    assert verify(SECRET, headers, EVENT.body, now=1100) is True
    assert verify(SECRET, headers, EVENT.body + b" ", now=1100) is False
    assert verify(SECRET, headers, EVENT.body, now=2000) is False
