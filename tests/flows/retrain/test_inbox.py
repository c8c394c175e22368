"""Pictures that arrive: taken once under content names, refused with a reason, waited for while they grow."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flows.retrain.inbox import InboxCounts, ingest_folder, ingest_inboxes, ingest_remote, target_folder
from flows.retrain.settings import RetrainSettings
from flows.retrain.sources import HashCache
from oft.datasets import read
from oft.errors import UserError
from oft.params import parse_params
from oft.types import Counts


def picture(value: int, side_px: int = 16) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (value, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def put(folder: Path, name: str, content: bytes, age_seconds: float = 1000) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    stat = path.stat()
    os.utime(path, (stat.st_atime, stat.st_mtime - age_seconds))
    return path


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def hashes(tmp_path: Path) -> HashCache:
    return HashCache(tmp_path / "hashes.json")


def test_pictures_are_ingested_once_with_their_captions(inbox: Path, target: Path, hashes: HashCache) -> None:
    put(inbox, "a-red_wall.png", picture(200))
    put(inbox, "deep/er/again.png", picture(200))
    put(inbox, "green.png", picture(10))
    put(inbox, "green.txt", b"a dark wall\n")
    put(inbox, ".hidden.png", picture(99))
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts(accepted=2)
    captions = {example.captions for example in read("image_folder", target, "val", Counts())}
    assert captions == {("a red wall",), ("a dark wall",)}
    assert all(len(path.stem) == 32 for path in target.iterdir())
    made = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts()
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == made
    assert (inbox / "green.png").is_file()


def test_broken_pictures_are_quarantined_with_the_reason_and_the_rest_ingested(
    inbox: Path, target: Path, hashes: HashCache, tmp_path: Path
) -> None:
    outside = put(tmp_path, "secret.png", picture(5))
    put(inbox, "1.png", b"no picture")
    put(inbox, "sub/1.png", picture(1, 64)[:-40])
    put(inbox, "2.png", picture(2))
    (inbox / "link.png").symlink_to(outside)
    logged: list[str] = []
    assert ingest_folder(inbox, target, hashes, logged.append) == InboxCounts(accepted=1, refused=3)
    refused = inbox / "refused"
    assert sorted(path.name for path in refused.iterdir()) == sorted(
        f"{name}{end}" for name in ("1.png", "1-1.png", "link.png") for end in ("", ".reason")
    )
    assert "a link" in (refused / "link.png.reason").read_text()
    assert any("1.png is refused" in line and "unreadable" in line for line in logged)
    assert len([path for path in target.iterdir() if path.suffix == ".png"]) == 1
    assert outside.read_bytes() == picture(5)
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts()


def test_captions_are_decoded_and_one_of_another_encoding_refuses_its_picture(
    inbox: Path, target: Path, hashes: HashCache
) -> None:
    put(inbox, "1.png", picture(1))
    put(inbox, "1.CAPTION", "ein Bär".encode("utf-16"))
    put(inbox, "2.png", picture(2))
    put(inbox, "2.txt", "ein Bär".encode("cp1252"))
    put(inbox, "3.jfif", picture(3))
    logged: list[str] = []
    assert ingest_folder(inbox, target, hashes, logged.append) == InboxCounts(accepted=2, refused=1)
    assert len(logged) == 1 and "2.txt is not UTF-8 text" in logged[0]
    captions = {example.captions for example in read("image_folder", target, "val", Counts())}
    assert captions == {("ein Bär",), ()}, "a number is no caption"


def test_known_pictures_are_not_decoded_again(
    inbox: Path, target: Path, hashes: HashCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "a.png", picture(1))
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts(accepted=1)
    decoded: list[str] = []
    monkeypatch.setattr("flows.retrain.inbox.rejection_reason", lambda path: decoded.append(path.name))
    put(inbox, "again.png", picture(1))
    put(inbox, "new.png", picture(2))
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts(accepted=1)
    assert decoded == ["new.png"]
    put(inbox, "touched.png", picture(2), age_seconds=0)
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts(), "what is in place is not waited for"


def test_a_file_that_still_grows_waits(inbox: Path, target: Path, hashes: HashCache) -> None:
    half = put(inbox, "a.png", picture(3, 64)[:-40], age_seconds=0)
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts(waiting=1)
    assert half.is_file() and not target.exists()
    put(inbox, "a.png", picture(3, 64))
    assert ingest_folder(inbox, target, hashes, print) == InboxCounts(accepted=1)


def test_objects_on_s3_are_read_once_a_version(s3: Any, target: Path, tmp_path: Path) -> None:
    for name, content in {
        "in/../../evil.png": picture(1),
        "in/dog.png": picture(2),
        "in/dog.txt": b"a brown dog",
        "in/broken.png": b"no picture",
    }.items():
        s3.put_object(Bucket="bucket", Key=name, Body=content)
    url, notes = "s3://bucket/in", tmp_path / "notes"
    logged: list[str] = []
    assert ingest_remote(url, target, notes, logged.append) == InboxCounts(accepted=2, refused=1)
    assert any("broken.png is refused" in line for line in logged)
    assert sorted({path.parent for path in tmp_path.rglob("*.png")}) == [target]
    assert {path.read_text() for path in target.glob("*.txt")} == {"evil\n", "a brown dog"}
    assert ingest_remote(url, target, notes, print) == InboxCounts()
    s3.put_object(Bucket="bucket", Key="in/broken.png", Body=picture(4))
    assert ingest_remote(url, target, notes, print) == InboxCounts(accepted=1)
    # Another data set is given the same prefix.
    assert ingest_remote(url, tmp_path / "other", notes, print) == InboxCounts(accepted=3)
    assert ingest_remote(url, target, notes, print) == InboxCounts()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("phtos", "no data set 'phtos'; it has"),
        ("coco", "reader coco needs more than a picture"),
        ("ade20k", "acquire.source is 'world'; set it to a folder"),
        ("photos/../x", "must be a folder inside the data set"),
    ],
)
def test_an_inbox_belongs_to_a_data_set_that_accepts_pictures(
    values: dict[str, Any], tmp_path: Path, inbox: Path, hashes: HashCache, name: str, message: str
) -> None:
    for dataset in ("photos", "coco"):
        values["datasets"][dataset]["acquire"]["source"] = "own"
    params = parse_params(values)
    assert target_folder("photos", params, tmp_path) == tmp_path / "own"
    put(inbox, "a.png", picture(7))
    both = {"photos": str(inbox), name: str(inbox)}
    with pytest.raises(UserError, match=message):
        ingest_inboxes(RetrainSettings(str(tmp_path), tmp_path, inboxes=both), params, hashes, print)
    assert not (tmp_path / "own").exists(), "nothing moves before all are checked"


def test_a_missing_inbox_is_named(tmp_path: Path, target: Path, hashes: HashCache) -> None:
    with pytest.raises(UserError, match="there is no inbox folder"):
        ingest_folder(tmp_path / "nowhere", target, hashes, print)
