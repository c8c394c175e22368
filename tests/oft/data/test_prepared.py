from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oft.data.conditions.store import Extracted, read_conditions, write_conditions
from oft.data.pictures import decode_array
from oft.errors import DataError


def extracted(with_labels: bool = True) -> list[Extracted]:
    rng = np.random.default_rng(0)
    return [
        (
            key,
            rng.integers(0, 256, (12, 16, 3), dtype=np.uint8),
            rng.integers(0, 151, (12, 16), dtype=np.uint8) if with_labels else None,
        )
        for key in ("b", "a", "c-1")
    ]


@pytest.mark.parametrize("with_labels", [True, False])
def test_what_is_written_is_read_back_without_loss_and_in_order(tmp_path: Path, with_labels: bool) -> None:
    written = extracted(with_labels)
    write_conditions(tmp_path / "train.tar", written)
    found = list(read_conditions(tmp_path / "train.tar"))
    assert [key for key, _, _ in found] == [key for key, _, _ in written]
    for (_, condition, labels), (_, stored, stored_labels) in zip(written, found, strict=True):
        np.testing.assert_array_equal(decode_array(stored), condition)
        assert (labels is None) == (stored_labels is None)
        if labels is not None and stored_labels is not None:
            np.testing.assert_array_equal(decode_array(stored_labels), labels)


def test_pictures_with_and_without_labels_may_be_mixed(tmp_path: Path) -> None:
    first, second, third = extracted()
    mixed = [(first[0], first[1], None), second, (third[0], third[1], None)]
    write_conditions(tmp_path / "train.tar", mixed)
    found = [(key, labels is not None) for key, _, labels in read_conditions(tmp_path / "train.tar")]
    assert found == [("b", False), ("a", True), ("c-1", False)]


def test_equal_conditions_give_equal_bytes_and_labels_of_any_width_the_same(tmp_path: Path) -> None:
    write_conditions(tmp_path / "one.tar", extracted())
    wide = [
        (key, condition, None if ids is None else ids.astype(np.int32)) for key, condition, ids in extracted()
    ]
    write_conditions(tmp_path / "two.tar", wide)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_no_picture_at_all_is_an_empty_store(tmp_path: Path) -> None:
    write_conditions(tmp_path / "val.tar", [])
    assert list(read_conditions(tmp_path / "val.tar")) == []


def test_an_interrupted_extraction_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "train.tar"
    write_conditions(target, extracted())
    before = target.read_bytes()

    def interrupted() -> Iterator[Extracted]:
        yield extracted()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_conditions(target, interrupted())
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("content", [None, b"no tar at all", "in a member", "between members"])
def test_a_missing_or_damaged_file_names_itself_and_the_stage(
    tmp_path: Path, content: bytes | str | None
) -> None:
    source = tmp_path / "canny_coco" / "train.tar"
    if isinstance(content, bytes):
        source.parent.mkdir()
        source.write_bytes(content)
    elif content is not None:
        write_conditions(source, extracted())
        with tarfile.open(source) as archive:
            second = archive.getmembers()[2]
        end = 700 if content == "in a member" else second.offset
        source.write_bytes(source.read_bytes()[:end])
    with pytest.raises(
        DataError, match=r"(?s)train\.tar: cannot be read .*dvc repro --force extract@canny_coco"
    ):
        list(read_conditions(source))
