from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest

from flows.requests.addresses import (
    check_s3,
    is_public,
    parse_any_endpoint,
    parse_endpoint,
    require_below_roots,
    resolve_host,
)
from oft.errors import DataError


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378::1", "fe80::1", "fec0::1", "fd00:ec2::254",
        "ff02::1", "168.63.129.16", "192.0.0.192", "100.100.100.200", "::ffff:168.63.129.16",
        "64:ff9b::a83f:8110", "2002:a83f:8110::1", "64:ff9b:1::1", "::7f00:1", "5f00::1", "3fff::1",
        "2001:db8::1", "192.88.99.1",
    ],
)  # fmt: skip
def test_an_address_of_this_or_of_no_network_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_an_address_of_the_internet_is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["fe80::1%eth0"]])
def test_a_name_that_leads_to_one_private_address_among_others_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(DataError, match=r"host pictures\.example\.org leads to .* no public address"):
        resolve_host(parse_endpoint("https://pictures.example.org/a.zip"))
    trusted = parse_endpoint("https://pictures.example.org/a.zip", ["pictures.example.org"])
    assert resolve_host(trusted) == addresses


def test_an_endpoint_has_host_port_and_path_and_shows_no_query() -> None:
    endpoint = parse_endpoint("https://Example.ORG./a/b.zip?signature=planted#x")
    assert endpoint[:4] == ("https", "example.org", 443, "/a/b.zip?signature=planted")
    assert endpoint.shown == "https://example.org/a/b.zip"
    assert parse_endpoint("https://[2606:4700::1]:8443").authority == "[2606:4700::1]:8443"


def test_a_trusted_host_is_trusted_at_the_port_that_is_named_alone() -> None:
    assert parse_endpoint("http://127.0.0.1:81/", ["127.0.0.1:81"]).is_trusted
    with pytest.raises(DataError, match="https"):
        parse_endpoint("http://127.0.0.1:82/", ["127.0.0.1:81"])


@pytest.mark.parametrize(
    "url", ["s3://b", "s3://B/x", "s3://bucket//x", "s3://bucket/a/../b", "s3://bucket/é", "s3://bucket/x#y"]
)
def test_an_s3_address_is_plain(url: str) -> None:
    with pytest.raises(DataError, match="s3://bucket/prefix"):
        check_s3(url)


def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for address in ("a", "a/x.zip"):
        with pytest.raises(DataError, match="links that lead to each other"):
            require_below_roots(address, [str(tmp_path)])


@pytest.mark.parametrize(
    "url", ["http://[", "https://[::1", "https://[x]/", "https://a:b/", "https://a:99999/", "//"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    for parse in (parse_endpoint, parse_any_endpoint):
        with pytest.raises(DataError):
            parse(url)


def test_a_prefix_ends_where_a_name_ends() -> None:
    assert require_below_roots("s3://bucket/a/b/", ["s3://bucket/a"]) == "s3://bucket/a/b"
    assert require_below_roots("s3://bucket/a", ["s3://bucket/a/"]) == "s3://bucket/a"
    with pytest.raises(DataError, match="OFT_TRAININGS_ROOTS"):
        require_below_roots("s3://bucket/ab", ["s3://bucket/a"])
    with pytest.raises(DataError, match="allows \\(s3://bucket\\)"):
        require_below_roots("results", ["s3://bucket"])
