"""Fingerprints change when and only when what lies at a source does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flows.retrain.sources import HashCache, changed_stages, read_fingerprints, watched_sources
from oft.errors import DataError
from oft.params import Params, parse_params


@pytest.fixture
def own(values: dict[str, Any], tmp_path: Path) -> Params:
    values["datasets"]["photos"]["acquire"]["source"] = "mine"
    values["datasets"]["photos"]["captions"]["source"] = "prompts.json"
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"a")
    (folder / "sub" / "b.png").write_bytes(b"b")
    (tmp_path / "prompts.json").write_text("{}")
    return parse_params(values)


def fingerprints(params: Params, tmp_path: Path) -> dict[str, str]:
    return read_fingerprints(params, tmp_path, HashCache(tmp_path / "hashes.json"))


def test_only_sources_invisible_to_dvc_are_watched(params: Params, own: Params) -> None:
    assert watched_sources(params) == {}
    assert watched_sources(own) == {"acquire@photos": "mine", "caption@photos": "prompts.json"}


def test_a_folders_fingerprint_covers_names_sizes_and_content(own: Params, tmp_path: Path) -> None:
    first = fingerprints(own, tmp_path)
    folder = tmp_path / "mine"
    os.utime(folder / "a.png")
    assert fingerprints(own, tmp_path) == first, "a new time is no new picture"

    (folder / "a.png").write_bytes(b"c")
    changed = fingerprints(own, tmp_path)
    assert changed_stages(changed, first) == ["acquire@photos"]
    (folder / "a.png").write_bytes(b"a")
    assert fingerprints(own, tmp_path) == first

    (folder / "a.png").rename(folder / "c.png")
    assert changed_stages(fingerprints(own, tmp_path), first) == ["acquire@photos"]
    (folder / "c.png").rename(folder / "a.png")
    (tmp_path / "prompts.json").write_text("{ }")
    assert changed_stages(fingerprints(own, tmp_path), first) == ["caption@photos"]


def test_a_file_is_read_again_only_where_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.retrain import sources

    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return path.read_text()

    monkeypatch.setattr(sources, "sha256_file", counted)
    path, store = tmp_path / "a", tmp_path / "hashes.json"
    path.write_text("one")
    for _ in range(2):
        hashes = HashCache(store)
        assert hashes.sha256(path) == "one"
        hashes.save()
    assert read == [path]
    path.write_text("other")
    assert HashCache(store).sha256(path) == "other"
    store.write_text("damaged")
    assert HashCache(store).sha256(path) == "other"


def test_links_to_a_parent_folder_are_not_followed(own: Params, tmp_path: Path) -> None:
    (tmp_path / "mine" / "sub" / "up").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "gone").symlink_to(tmp_path / "nothing")
    assert set(fingerprints(own, tmp_path)) == {"acquire@photos", "caption@photos"}


def test_a_prefixs_fingerprint_covers_names_sizes_and_etags(
    s3: Any, values: dict[str, Any], tmp_path: Path
) -> None:
    values["datasets"]["photos"]["acquire"]["source"] = "s3://bucket/set"
    params = parse_params(values)
    s3.put_object(Bucket="bucket", Key="set/a.png", Body=b"one")
    first = fingerprints(params, tmp_path)
    s3.put_object(Bucket="bucket", Key="other/b.png", Body=b"elsewhere")
    s3.put_object(Bucket="bucket", Key="set/a.png", Body=b"one")
    assert fingerprints(params, tmp_path) == first
    s3.put_object(Bucket="bucket", Key="set/a.png", Body=b"two")
    assert fingerprints(params, tmp_path) != first


def test_a_downloads_fingerprint_covers_its_pins(values: dict[str, Any], tmp_path: Path) -> None:
    values["datasets"]["coco"]["acquire"]["source"] = "download"
    first = fingerprints(parse_params(values), tmp_path)
    assert fingerprints(parse_params(values), tmp_path) == first
    values["datasets"]["coco"]["acquire"]["mirror"] = "https://mirror/coco"
    assert changed_stages(fingerprints(parse_params(values), tmp_path), first) == ["acquire@coco"]


def test_a_missing_source_is_named(own: Params, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").unlink()
    with pytest.raises(DataError, match=r"prompts\.json is missing"):
        fingerprints(own, tmp_path)
