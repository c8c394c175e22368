"""The table of official data sets is sound."""

from __future__ import annotations

import re

from oft.acquire.sources import SOURCES
from oft.datasets.registry import readers_of_sources

ARCHIVES = [archive for source in SOURCES.values() for archive in source.archives]


def test_every_address_ends_in_a_file_and_is_pinned_or_has_a_checksum() -> None:
    for archive in ARCHIVES:
        assert re.fullmatch(r"(https?|hf)://[^\s@?#]+(@[0-9a-f]{40}/[^\s@?#]+)?", archive.address)
        assert archive.checksum or re.search(r"[@/][0-9a-f]{40}", archive.address), archive.name
        assert archive.size_bytes > 0


def test_checksums_have_their_length() -> None:
    lengths = {"sha1": 40, "sha256": 64}
    for archive in ARCHIVES:
        if archive.checksum:
            algorithm, _, digest = archive.checksum.partition(":")
            assert re.fullmatch(f"[0-9a-f]{{{lengths[algorithm]}}}", digest)


def test_a_mirror_can_hold_all_files_of_a_data_set_side_by_side() -> None:
    for source in SOURCES.values():
        names = [archive.name for archive in source.archives]
        assert len(set(names)) == len(names)
        assert source.licence and source.terms.startswith("https://")


def test_params_know_what_can_be_downloaded() -> None:
    assert set(readers_of_sources()["download"]) == set(SOURCES)
