"""Small archives in the true layouts become data sets that the readers read."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oft.acquire import sources
from oft.acquire.official import download_dataset
from oft.datasets import read
from oft.errors import DataError, ParamsError
from oft.settings.data import Acquisition
from oft.types import Counts
from tests.loopback import FileServer, cut

SETS = ("ade20k", "coco", "dreambooth", "fill50k")


def accepted(mirror: str | None) -> Acquisition:
    return Acquisition(source="download", mirror=mirror, accept_licence=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def zipped(folder: Path, into: Path, top: str = "") -> bytes:
    """Return a zip archive of a folder, its files below ``top``."""
    path = into / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(top) / file.relative_to(folder))
    return path.read_bytes()


@pytest.fixture
def publish(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ade20k_root: Path,
    coco_root: Path,
    dreambooth_root: Path,
    fill50k_root: Path,
) -> Callable[[str], dict[str, bytes]]:
    """Returns a function that returns a data set's files as they are published, by name; the table of sources
    then has their sizes and checksums."""
    tmp_path.joinpath("packing").mkdir()
    scratch = tmp_path / "packing"

    def coco() -> list[bytes]:
        annotations = scratch / "annotations"
        shutil.copytree(coco_root / "annotations", annotations / "annotations")
        packed = [zipped(coco_root / folder, scratch, folder) for folder in ("val2017", "train2017")]
        return [zipped(annotations, scratch), *packed]

    def fill50k() -> list[bytes]:
        packed = [
            zipped(fill50k_root / folder, scratch, folder) for folder in ("images", "conditioning_images")
        ]
        return [(fill50k_root / "train.jsonl").read_bytes(), *packed]

    def published(reader: str) -> dict[str, bytes]:
        source = sources.SOURCES[reader]
        files = {
            "ade20k": lambda: [zipped(ade20k_root, scratch)],
            "coco": coco,
            "dreambooth": lambda: [zipped(dreambooth_root, scratch, source.archives[0].top)],
            "fill50k": fill50k,
        }[reader]()
        archives = tuple(
            dataclasses.replace(
                archive,
                size_bytes=len(data),
                checksum=archive.checksum and f"sha256:{hashlib.sha256(data).hexdigest()}",
            )
            for archive, data in zip(source.archives, files, strict=True)
        )
        monkeypatch.setitem(sources.SOURCES, reader, dataclasses.replace(source, archives=archives))
        return {archive.name: data for archive, data in zip(archives, files, strict=True)}

    return published


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "raw" / "set"


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / ".downloads" / "set"


@pytest.mark.parametrize("reader", SETS)
def test_a_published_data_set_becomes_one_in_its_layout(
    reader: str,
    publish: Callable[[str], dict[str, bytes]],
    server: FileServer,
    target: Path,
    downloads: Path,
    request: pytest.FixtureRequest,
) -> None:
    for name, data in publish(reader).items():
        server.files[f"/sets/{name}"] = data
    download_dataset("set", reader, accepted(f"{server.address}/sets/"), target, downloads)
    original = request.getfixturevalue(f"{reader}_root")
    assert contents(target) == contents(original)
    keys = [example.key for example in read(reader, target, "train", Counts())]
    assert keys == [example.key for example in read(reader, original, "train", Counts())] != []


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_mirror_may_be_a_folder_or_a_bucket(
    kind: str,
    publish: Callable[[str], dict[str, bytes]],
    s3: Any,
    tmp_path: Path,
    target: Path,
    downloads: Path,
    dreambooth_root: Path,
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name, data in publish("dreambooth").items():
        (mirror / name).write_bytes(data)
        s3.put_object(Bucket="bucket", Key=f"mirror/{name}", Body=data)
    address = {"file": mirror.as_uri(), "s3": "s3://bucket/mirror"}[kind]
    download_dataset("set", "dreambooth", accepted(address), target, downloads)
    assert contents(target) == contents(dreambooth_root)


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_leaves_the_data_set_of_before_and_the_next_goes_on(
    publish: Callable[[str], dict[str, bytes]], server: FileServer, target: Path, downloads: Path
) -> None:
    files = publish("coco")
    for name, data in files.items():
        server.files[f"/{name}"] = data
    target.mkdir(parents=True)
    (target / "before").touch()
    size_bytes = len(files["val2017.zip"])
    server.faults["/val2017.zip"] = [cut(size_bytes - 100)]
    with pytest.raises(KeyboardInterrupt):
        download_dataset("set", "coco", accepted(server.address), target, downloads, interrupt)
    assert contents(target) == {"before": b""}
    download_dataset("set", "coco", accepted(server.address), target, downloads)
    assert "before" not in contents(target)
    assert server.ranges("/annotations_trainval2017.zip") == [None]
    assert server.ranges("/val2017.zip") == [None, f"bytes={size_bytes - 100}-"]


def test_an_unsafe_archive_leaves_the_data_set_of_before(
    publish: Callable[[str], dict[str, bytes]], tmp_path: Path, target: Path, downloads: Path
) -> None:
    (name,) = publish("dreambooth")
    downloads.mkdir(parents=True)
    with zipfile.ZipFile(downloads / name, "w") as archive:
        archive.writestr("../evil", "")
    target.mkdir(parents=True)
    (target / "before").touch()
    with pytest.raises(DataError, match=r"'../evil' has a path that is not safe"):
        download_dataset("set", "dreambooth", accepted(None), target, downloads)
    assert contents(target) == {"before": b""}
    assert [path.name for path in target.parent.iterdir()] == ["set"]


def test_the_licence_is_accepted_first(server: FileServer, target: Path, downloads: Path) -> None:
    settings = Acquisition(source="download", mirror=server.address, accept_licence=False)
    with pytest.raises(ParamsError) as raised:
        download_dataset("mine", "ade20k", settings, target, downloads)
    for part in (
        "datasets.mine.acquire.accept_licence",
        "non-commercial",
        "csail.mit.edu/vision/datasets/ADE20K/terms",
    ):
        assert part in str(raised.value)
    assert server.asked == []


def test_a_disk_that_cannot_hold_it_is_told_before_anything_is_asked_for(
    server: FileServer, target: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=40_000_000_000))
    with pytest.raises(DataError, match=r"set: 42\.85 GB of room are needed and the disk has 40\.00 GB free"):
        download_dataset("set", "coco", accepted(server.address), target, downloads)
    assert server.asked == []
    # What is there already needs no room of its own.
    downloads.mkdir(parents=True)
    with (downloads / "train2017.zip.part").open("wb") as sparse:
        sparse.truncate(19_000_000_000)
    with pytest.raises(DataError, match="404"):
        download_dataset("set", "coco", accepted(server.address), target, downloads)
