"""Downloads of a request: checked at every step, whole or not at all, never more or longer than allowed."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from flows.requests.site import Site
from flows.requests.web import download, post
from oft.errors import DataError

from .conftest import WebServer


def fetch(url: str, target: Path, site: Site, max_bytes: int = 1000, max_seconds: float = 60.0) -> bytes:
    download(url, target, site, max_bytes=max_bytes, max_seconds=max_seconds)
    return target.read_bytes()


@pytest.fixture
def trusting(site: Site, web: WebServer) -> Site:
    return site._replace(hosts=frozenset({web.authority}))


def test_a_file_comes_as_it_is_also_by_a_redirection(tmp_path: Path, web: WebServer, trusting: Site) -> None:
    web.answer = lambda seen: (
        (200, {}, b"content") if seen.path == "/b.zip?x=1" else (302, {"Location": "/b.zip?x=1"}, b"")
    )
    assert fetch(f"{web.url}/a.zip", tmp_path / "a", trusting) == b"content"
    assert [seen.headers["host"] for seen in web.seen] == [web.authority] * 2


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://169.254.169.254/latest/meta-data/", "https://"),
        ("https://169.254.169.254/latest/meta-data/", "169.254.169.254, which is no public address"),
        ("https://localhost/", "leads to .*, which is no public address"),
        ("file:///etc/passwd", "not with file:"),
        ("https://me:planted@example.org/", "no user name"),
        ("/again", "leads on more than 5 times"),
        ("http://[", "leads on to what is no valid address"),
    ],
)
def test_a_redirection_to_where_a_request_may_not_lead_is_refused(
    tmp_path: Path, web: WebServer, trusting: Site, location: str, said: str
) -> None:
    web.answer = lambda _: (302, {"Location": location}, b"")
    with pytest.raises(DataError, match=said) as raised:
        fetch(f"{web.url}/a.zip", tmp_path / "a", trusting)
    assert "planted" not in str(raised.value)
    assert list(tmp_path.glob("a*")) == []


def test_no_connection_is_made_to_a_name_of_this_machine(tmp_path: Path, web: WebServer, site: Site) -> None:
    port = web.authority.partition(":")[2]
    with pytest.raises(DataError, match="no public address"):
        fetch(f"https://localhost:{port}/a.zip", tmp_path / "a", site)
    assert web.seen == []


def test_a_name_is_connected_to_at_the_address_that_was_checked(
    tmp_path: Path, web: WebServer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer of the resolver, were it asked again for the name, would lead elsewhere."""
    port = int(web.authority.partition(":")[2])
    resolver, asked = socket.getaddrinfo, []

    def rebinding(host: str, *rest: object, **options: object) -> object:
        if host != "rebinding.example":
            return resolver(host, *rest, **options)  # type: ignore[arg-type]
        asked.append(host)
        assert len(asked) == 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    web.answer = lambda _: (200, {}, b"content")
    trusting = site._replace(hosts=frozenset({f"rebinding.example:{port}"}))
    assert fetch(f"http://rebinding.example:{port}/a.zip", tmp_path / "a", trusting) == b"content"
    assert web.seen[0].headers["host"] == f"rebinding.example:{port}"


def test_a_host_is_reached_at_any_of_its_addresses(
    tmp_path: Path, web: WebServer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where its first one is of IPv6, which this machine does not have; each is asked at most once."""
    port = int(web.authority.partition(":")[2])
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")
    ]
    resolver = socket.getaddrinfo

    def resolve(host: str, *rest: object, **options: object) -> object:
        return found if host == "many.example" else resolver(host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    web.answer = lambda _: (200, {}, b"content")
    trusting = site._replace(hosts=frozenset({f"many.example:{port}"}))
    assert fetch(f"http://many.example:{port}/a.zip", tmp_path / "a", trusting) == b"content"
    web.answer = lambda _: (500, {}, b"")
    with pytest.raises(DataError, match="answers with status 500"):
        fetch(f"http://many.example:{port}/a.zip", tmp_path / "a", trusting)
    assert len(web.seen) == 2
    web.stop()
    with pytest.raises(DataError, match="NewConnectionError"):
        fetch(f"http://many.example:{port}/a.zip", tmp_path / "a", trusting)


def test_a_stated_length_of_thousands_of_digits_is_one_that_was_not_sent(
    tmp_path: Path, web: WebServer, trusting: Site
) -> None:
    web.answer = lambda _: (200, {"Content-Length": "1" * 5000, "Connection": "close"}, b"abc")
    with pytest.raises(DataError, match=r"broke off after 3 of 1{20} bytes|was cut"):
        fetch(f"{web.url}/a.zip", tmp_path / "a", trusting)
    assert list(tmp_path.glob("a*")) == []


def test_more_or_less_than_there_may_be_leaves_no_file(
    tmp_path: Path, web: WebServer, trusting: Site
) -> None:
    web.answer = lambda _: (200, {}, b"x" * 1001)
    with pytest.raises(DataError, match="is larger than"):
        fetch(f"{web.url}/a.zip?planted", tmp_path / "a", trusting)
    web.answer = lambda _: (200, {"Content-Length": "900", "Connection": "close"}, b"x" * 100)
    with pytest.raises(DataError, match=r"broke off|was cut"):
        fetch(f"{web.url}/a.zip", tmp_path / "a", trusting)
    web.answer = lambda _: (404, {}, b"x" * 10)
    with pytest.raises(DataError, match="answers with status 404"):
        fetch(f"{web.url}/a.zip", tmp_path / "a", trusting)
    assert not (tmp_path / "a").exists() and not list(tmp_path.glob(".*.partial"))


def test_a_full_disk_is_not_the_server_s_fault(
    tmp_path: Path, web: WebServer, trusting: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> FullDisk:
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    web.answer = lambda _: (200, {}, b"content")
    monkeypatch.setattr(Path, "open", FullDisk)
    with pytest.raises(DataError, match="the disk is full: ") as raised:
        download(f"{web.url}/a.zip", tmp_path / "a", trusting, max_bytes=1000, max_seconds=60)
    assert web.url not in str(raised.value)


Speak = Callable[[socket.socket], None]


@pytest.fixture
def speaking(site: Site) -> Iterator[Callable[[Speak], tuple[str, Site]]]:
    """Starts a server that says to who connects what it is told, until it is left; gives its url."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(speak: Speak) -> tuple[str, Site]:
        server = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with suppress(OSError):  # until it is stopped
                while True:
                    with server.accept()[0] as connection, suppress(OSError):  # until it is left
                        speak(connection)

        threads.append(threading.Thread(target=serve, daemon=True))
        servers.append(server)
        threads[-1].start()
        authority = f"127.0.0.1:{server.getsockname()[1]}"
        return f"http://{authority}", site._replace(hosts=frozenset({authority}))

    yield start
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(1024):
        pass


def dribble(first: bytes, again: bytes) -> Speak:
    """Says something, and then something again and again, each time long before its reader gives up."""

    def speak(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(first)
        pause = threading.Event()
        while not pause.wait(0.01):
            connection.sendall(again)

    return speak


HEADERS = dribble(b"HTTP/1.1 200 OK\r\nX: ", b"x")
CONTINUED = dribble(b"", b"HTTP/1.1 100 Continue\r\n\r\n")
BODY = dribble(b"HTTP/1.1 200 OK\r\n\r\n", b"x")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("speak", [say_nothing, HEADERS, CONTINUED])
def test_a_server_that_never_comes_to_its_answer_is_left(
    tmp_path: Path, speaking: Callable[[Speak], tuple[str, Site]], speak: Speak
) -> None:
    url, trusting = speaking(speak)
    with pytest.raises(DataError, match="no answer in time"):
        fetch(f"{url}/a.zip", tmp_path / "a", trusting, max_seconds=0.3)
    with pytest.raises(ConnectionError, match="no answer in time"):
        post(url, b"", {}, trusting, seconds=0.3)
    assert not list(tmp_path.glob("*a"))


@pytest.mark.timeout(60)
def test_a_server_whose_answer_never_ends_is_left(
    tmp_path: Path, speaking: Callable[[Speak], tuple[str, Site]]
) -> None:
    url, trusting = speaking(BODY)
    with pytest.raises(DataError, match="takes longer than 0 s"):
        fetch(f"{url}/a.zip", tmp_path / "a", trusting, max_bytes=10**9, max_seconds=0.3)
    assert not (tmp_path / "a").exists() and not list(tmp_path.glob(".*.partial"))


@pytest.mark.timeout(60)
def test_redirections_share_the_time(
    tmp_path: Path, web: WebServer, speaking: Callable[[Speak], tuple[str, Site]]
) -> None:
    url, trusting = speaking(HEADERS)
    web.answer = lambda _: (302, {"Location": f"{url}/a.zip"}, b"")
    trusting = trusting._replace(hosts=trusting.hosts | {web.authority})
    with pytest.raises(DataError, match="no answer in time"):
        fetch(f"{web.url}/a.zip", tmp_path / "a", trusting, max_seconds=0.3)
    assert len(web.seen) == 1


def test_a_post_follows_no_redirection(web: WebServer, trusting: Site) -> None:
    web.answer = lambda _: (307, {"Location": "/elsewhere"}, b"")
    assert post(f"{web.url}/hook", b"body", {"x-test": "1"}, trusting, seconds=10) == 307
    assert [(seen.path, seen.body, seen.headers["x-test"]) for seen in web.seen] == [("/hook", b"body", "1")]


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port and certificate of an https server named pictures.test."""
    import datetime
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pictures.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("pictures.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (tmp_path / "certificate").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server = WebServer(context)
    server.answer = lambda _: (200, {}, b"content")
    yield int(server.authority.partition(":")[2]), tmp_path / "certificate"
    server.stop()


def test_a_certificate_is_that_of_the_name_and_one_that_is_trusted(
    tmp_path: Path, site: Site, secure: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, certificate = secure
    resolver = socket.getaddrinfo

    def resolve(host: str, *rest: object, **options: object) -> object:
        return resolver("127.0.0.1" if host.endswith(".test") else host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    names = ["pictures.test", "others.test"]
    trusting = site._replace(hosts=frozenset(f"{name}:{port}" for name in names))
    with pytest.raises(DataError, match=r"pictures\.test.*: SSLError"):
        fetch(f"https://pictures.test:{port}/a.zip", tmp_path / "a", trusting)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(f"https://pictures.test:{port}/a.zip", tmp_path / "a", trusting) == b"content"
    with pytest.raises(DataError, match=r"others\.test.*: SSLError"):
        fetch(f"https://others.test:{port}/a.zip", tmp_path / "b", trusting)
