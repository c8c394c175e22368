from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oft.acquire.folder import count_layout, place_folder, place_remote
from oft.errors import DataError


@pytest.fixture
def own(tmp_path: Path, save_picture: Callable[..., Path]) -> Path:
    folder = tmp_path / "own"
    save_picture(folder / "a" / "house.png")
    save_picture(folder / "tree.png", seed=1)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_placed_folder_holds_the_same_files_and_replaces_what_was_there(own: Path, tmp_path: Path) -> None:
    target = tmp_path / "data" / "raw" / "photos"
    for _ in range(2):
        place_folder(own, target)
        assert contents(target) == contents(own)
    next(iter(own.glob("*.png"))).unlink()
    place_folder(own, target)
    assert contents(target) == contents(own)
    assert sorted(path.name for path in target.parent.iterdir()) == ["photos"]


def test_a_copy_shares_nothing_with_the_original(own: Path, tmp_path: Path) -> None:
    (own / "linked.png").symlink_to(own / "tree.png")
    place_folder(own, tmp_path / "target")
    for path in (tmp_path / "target").rglob("*.png"):
        assert not path.is_symlink() and path.stat().st_nlink == 1
    original = (own / "tree.png").read_bytes()
    (tmp_path / "target" / "tree.png").write_bytes(b"")
    assert (own / "tree.png").read_bytes() == original


def test_sources_that_cannot_serve_are_refused_and_the_target_stays(own: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    place_folder(own, target)
    before = contents(target)
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop" / "a").mkdir(parents=True)
    (tmp_path / "loop" / "a" / "up").symlink_to(tmp_path / "loop")
    faults = {
        tmp_path / "nowhere": "is missing",
        own / "tree.png": "is a file",
        tmp_path / "empty": "is empty",
        tmp_path / "loop": "the link .*a/up leads back up",
        tmp_path: "lie within one another",
        target: "lie within one another",
        target / "a": "lie within one another",
    }
    for source, message in faults.items():
        with pytest.raises(DataError, match=message):
            place_folder(source, target)
        assert contents(target) == before
    assert not (tmp_path / ".target.partial").exists()


def test_what_is_no_file_is_left_out_and_named(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = contents(own)
    (own / "gone.png").symlink_to("nowhere.png")
    (own / "itself.png").symlink_to("itself.png")
    (own / "kept.png").symlink_to("tree.png")  # from its own folder, not from that of the run
    os.mkfifo(own / "a" / "pipe.png")
    monkeypatch.chdir(tmp_path)
    place_folder(own, tmp_path / "target")
    assert contents(tmp_path / "target") == expected | {"kept.png": expected["tree.png"]}
    said = capsys.readouterr().out
    assert "3 that are no regular files" in said
    assert all(f"{own}/{name}" in said for name in ("gone.png", "itself.png", "a/pipe.png"))


def test_linked_folders_are_copied_and_loops_through_them_refused(own: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(own)
    place_folder(tmp_path / "set", tmp_path / "target")
    assert contents(tmp_path / "target") == {f"linked/{name}": data for name, data in contents(own).items()}
    (own / "a" / "back").symlink_to(tmp_path / "set")
    with pytest.raises(DataError, match=r"the link .*set/linked/a/back leads back up"):
        place_folder(tmp_path / "set", tmp_path / "target")


def test_a_folder_without_permission_is_refused(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DataError, match=r"cannot be read; .*chmod"):
        place_folder(own, tmp_path / "target")


def test_every_split_of_a_sound_layout_is_counted(ade20k_root: Path) -> None:
    assert count_layout("ade20k", ade20k_root) == {
        "train": {
            "seen": 5,
            "kept": 4,
            "dropped": {"annotation_missing": 1},
            "offenders": {"annotation_missing": ["ADE_train_00000004.jpg"]},
        },
        "val": {"seen": 1, "kept": 1, "dropped": {}, "offenders": {}},
    }


def test_one_split_with_pictures_is_enough(own: Path, dreambooth_root: Path) -> None:
    for reader, root, kept in (("image_folder", own, [0, 2]), ("dreambooth", dreambooth_root, [4, 0])):
        assert [counts["kept"] for counts in count_layout(reader, root).values()] == kept


def test_counting_decodes_no_picture(own: Path) -> None:
    (own / "broken.png").write_bytes(b"")
    assert count_layout("image_folder", own)["val"]["kept"] == 3


def test_a_layout_without_pictures_in_any_split_is_refused(ade20k_root: Path, tmp_path: Path) -> None:
    for annotation in ade20k_root.rglob("*.png"):
        annotation.unlink()
    with pytest.raises(
        DataError, match=r"no usable picture for reader 'ade20k' \(listed 6, dropped: 6 annotation_missing\)"
    ):
        count_layout("ade20k", ade20k_root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no usable picture .*\(listed 0, dropped: none\)"):
        count_layout("image_folder", tmp_path / "empty")
    with pytest.raises(DataError, match="there is no folder"):
        count_layout("coco", tmp_path / "nowhere")


def test_a_prefix_on_s3_is_placed_like_a_folder(own: Path, tmp_path: Path, s3: Any) -> None:
    for name, content in contents(own).items():
        s3.put_object(Bucket="bucket", Key=f"set/{name}", Body=content)
    for url in ("s3://bucket/set", "s3://bucket/set/"):
        place_remote(url, tmp_path / "target")
        assert contents(tmp_path / "target") == contents(own)


def test_a_prefix_that_cannot_serve_is_refused_and_the_target_stays(
    own: Path, tmp_path: Path, s3: Any
) -> None:
    target = tmp_path / "target"
    place_folder(own, target)
    s3.put_object(Bucket="bucket", Key="out/a/../../b", Body=b"x")
    for name in ("a", "a/b"):
        s3.put_object(Bucket="bucket", Key=f"twice/{name}", Body=b"x")
    faults = {
        "s3://bucket/none": "holds nothing",
        "s3://bucket/twice": "its object 'a/b' cannot be written: File exists",
        "s3://bucket/out": r"an object 'a/../../b', which is no path below it",
        "s3://elsewhere/set": "no such object or bucket",
    }
    for url, message in faults.items():
        with pytest.raises(DataError, match=message):
            place_remote(url, target)
        assert contents(target) == contents(own)
    assert not (tmp_path / "b").exists()


def test_a_disk_too_small_is_told_before_and_while_copying(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    place_folder(own, target)
    with monkeypatch.context() as patch, pytest.raises(DataError, match="GB of room are needed"):
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
        place_folder(own, target)

    def fail(source: str, place: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(DataError, match=f"the disk is full: {target}"):
        place_folder(own, target)
    assert contents(target) == contents(own)
