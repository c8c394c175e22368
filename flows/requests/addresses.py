"""Check the addresses in a request: their form, and the hosts that they may lead to.

A request could send a server that fetches any address into its own network (SSRF). So this module resolves
every host, requires all of its addresses to be public, and gives the connection a checked address, not the
name.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from oft.errors import DataError

_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.,=+() -]+)*/?", re.ASCII)
_HOST = re.compile(r"(?!-)[a-z0-9.-]{1,253}", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is given out
_INTERNAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # Azure's host, with its virtual machines' metadata
            "192.0.0.0/24",  # RFC 6890; Oracle's metadata at .192
            "100.64.0.0/10",  # shared by carriers; Alibaba's metadata at 100.100.100.200
            "192.88.99.0/24",  # relays to 6to4, deprecated
            "3fff::/20",  # documentation, RFC 9637
        ),
    )
)
"""Networks inside a provider's, or of nobody, that Python 3.11 takes for public."""


class Endpoint(NamedTuple):
    """Where a request over http(s) goes.

    Attributes:
        is_trusted: the operator allows this host whatever its addresses are.
    """

    scheme: str
    host: str
    port: int
    path: str
    is_trusted: bool

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a signature."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == (443 if self.scheme == "https" else 80)
        return host if is_usual else f"{host}:{self.port}"


def parse_endpoint(url: str, hosts: Collection[str] = ()) -> Endpoint:
    """Return where ``url`` leads. Messages never repeat it: it may hold a password.

    Args:
        hosts: ``host`` or ``host:port`` that may be private and may speak plain http.

    Raises:
        DataError: it is not https, has a user name, or its host is no name or a private address.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise DataError("must be an address of printable ASCII letters without spaces or backslashes")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise DataError("is no valid address") from None
    if parts.scheme not in ("http", "https"):
        raise DataError(f"must begin with https://, not with {parts.scheme or 'nothing'}:")
    if "@" in parts.netloc:
        raise DataError("must have no user name or password")
    port = port or (443 if parts.scheme == "https" else 80)
    is_trusted = bool({host, f"{host}:{port}"} & set(hosts))
    if not is_trusted:
        if parts.scheme != "https":
            raise DataError("must begin with https://, not with http:")
        literal = _literal(host)
        if literal is not None and not is_public(literal):
            raise DataError(f"leads to {literal}, which is no public address")
        if literal is None and not _HOST.fullmatch(host):
            raise DataError("has no valid host name")
    path = parts.path or "/"
    return Endpoint(parts.scheme, host, port, f"{path}?{parts.query}" if parts.query else path, is_trusted)


def parse_any_endpoint(url: str) -> Endpoint:
    """Return where ``url`` leads, as if the operator trusted its host: for callers that do not connect.

    Raises:
        DataError: it is neither https nor http, has a user name, or no valid host or port.
    """
    return parse_endpoint(url, [url.partition("://")[2].partition("/")[0].partition("?")[0].lower()])


def resolve_host(endpoint: Endpoint) -> list[str]:
    """Return the addresses of an endpoint's host, all of them checked.

    Raises:
        DataError: the host has no address, or one that is not public and not allowed.
    """
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise DataError(f"the host {endpoint.host} cannot be found") from None
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    if not endpoint.is_trusted:
        for address in addresses:
            if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                raise DataError(f"the host {endpoint.host} leads to {address}, which is no public address")
    return addresses


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address, and any IPv4 address inside it, is one of the public Internet's."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address not in _UNICAST:
            return False
    if any(address in network for network in _INTERNAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def check_s3(url: str) -> str:
    """Return the address without a slash at its end.

    Raises:
        DataError: it is no ``s3://bucket/prefix`` of plain names, or holds credentials or a step upwards.
    """
    if not _S3.fullmatch(url) or {".", ".."} & set(url.split("/")):
        raise DataError("must be s3://bucket/prefix in plain letters, without credentials, query or '..'")
    return url.rstrip("/")


def require_below_roots(address: str, roots: Collection[str]) -> str:
    """Return a folder or an S3 address in full; it must lie in one of ``roots``.

    A relative path is taken from the first root that is a folder.

    Raises:
        DataError: it lies elsewhere; the message lists the roots.
    """
    if address.startswith("s3://"):
        url = check_s3(address)
        if any(f"{url}/".startswith(f"{root.rstrip('/')}/") for root in roots if root.startswith("s3://")):
            return url
    else:
        if "\0" in address or not address.isprintable() or ".." in Path(address).parts:
            raise DataError("must be a path of printable letters without '..'")
        folders = [Path(root) for root in roots if not root.startswith("s3://")]
        if folders:
            path = _resolve(folders[0] / address)
            if any(path != folder and path.is_relative_to(folder.resolve()) for folder in folders):
                return str(path)
    allowed = ", ".join(roots) or "nothing"
    raise DataError(
        f"lies outside of what this server allows ({allowed}); choose a place below, or have its "
        "operator add one to OFT_TRAININGS_ROOTS"
    )


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links that lead to each other
        raise DataError("leads nowhere: to links that lead to each other, or to too long a name") from None


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as, in any way that a resolver reads; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
