"""Addresses of every form, and what is never shown or sent."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from oft.acquire.transports import MAX_REDIRECTS, browsable, open_address
from oft.errors import DataError
from tests.loopback import FileServer, Handler, status

DATA = b"0123456789"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = f"hf://datasets/owner/set@{COMMIT}/images.zip"


def read(address: str) -> bytes:
    with open_address(address) as stream:
        return b"".join(stream.chunks)


def test_redirections_are_followed_over_http_alone(server: FileServer) -> None:
    server.files["/b"] = DATA
    server.faults["/a"] = [status(302, Location="/b"), status(307, Location="file:///etc/hostname")]
    assert read(f"{server.address}/a") == DATA
    with pytest.raises(DataError, match=f"{server.address}/a leads to an address that is not http or https"):
        read(f"{server.address}/a")


def test_redirections_in_a_circle_end(server: FileServer) -> None:
    server.faults["/a"] = [status(302, Location="/a") for _ in range(50)]
    with pytest.raises(DataError, match=f"leads in a circle: more than {MAX_REDIRECTS} redirections"):
        read(f"{server.address}/a")
    assert len(server.asked) == MAX_REDIRECTS + 1


def test_a_signature_that_a_redirection_adds_is_never_shown(server: FileServer) -> None:
    faults = {"http://127.0.0.1:9/b?key=secret": ConnectionError, "/b?key=secret": DataError}
    for target, error in faults.items():
        server.faults["/a"] = [status(302, Location=target)]
        with pytest.raises(error) as raised:
            read(f"{server.address}/a")
        assert f"{server.address}/a" in str(raised.value) and "secret" not in str(raised.value)


def test_bytes_come_as_they_lie_on_the_server(server: FileServer) -> None:
    server.faults["/a"] = [lambda handler, data: handler.answer(200, {"Content-Encoding": "gzip"}, DATA)]
    assert read(f"{server.address}/a") == DATA


@pytest.mark.parametrize("name", ["none", "."])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read: (No such file|Is a directory)"):
        read(f"{tmp_path.as_uri()}/{name}")


@pytest.fixture
def hub(server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FileServer:
    """The hub's address of large files: it states the checksum and redirects to another host."""
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def redirect(handler: Handler, data: bytes) -> None:
        other_host = server.address.replace("127.0.0.1", "localhost")
        linked = hashlib.sha256(DATA).hexdigest()
        handler.answer(302, {"Location": f"{other_host}/cdn", "X-Linked-Etag": f'"{linked}"'})

    server.files["/cdn"] = DATA
    server.faults[f"/datasets/owner/set/resolve/{COMMIT}/images.zip"] = [redirect]
    return server


def test_a_file_of_the_hub_comes_with_its_checksum_and_the_token_stays_there(hub: FileServer) -> None:
    with open_address(HUB) as stream:
        assert (stream.sha256, b"".join(stream.chunks)) == (hashlib.sha256(DATA).hexdigest(), DATA)
    assert hub.authorizations == ["Bearer hf_secret", None]


def test_a_file_in_the_hubs_cache_is_taken_from_there(hub: FileServer, tmp_path: Path) -> None:
    snapshot = tmp_path / "cache" / "datasets--owner--set" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "images.zip").write_bytes(DATA)
    assert read(HUB) == DATA
    assert hub.asked == []


def test_without_the_hub_the_error_says_so(hub: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=f"images.zip of .* owner/set@{COMMIT} is not on this machine and HF_HUB"
    ):
        read(HUB)
    assert hub.asked == []


def test_an_address_is_shown_as_a_browser_takes_it() -> None:
    assert browsable(HUB) == f"https://huggingface.co/datasets/owner/set/resolve/{COMMIT}/images.zip"
    assert browsable("http://a/b") == "http://a/b"


def test_an_object_on_s3_is_read(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="a", Body=DATA)
    assert read("s3://bucket/a") == DATA
