from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from oft.datasets.hub import read_hub
from oft.errors import DataError
from oft.pictures import load_picture
from oft.types import SPLITS, Counts


def test_folders_name_the_splits_and_paths_start_at_the_metadata_file(hub_root: Path) -> None:
    train = list(read_hub(hub_root, "train", Counts()))
    assert [(example.key, example.captions) for example in train] == [
        (f"train-{number}", (str(number),)) for number in (1, 2, 3)
    ]
    assert train[0].annotation == hub_root / "train" / "edges" / "1.png"
    assert [e.key for e in read_hub(hub_root, "val", Counts())] == ["validation-4", "validation-5"]


def test_one_metadata_file_may_serve_all_and_a_picture_may_have_several_lines(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    save_picture(tmp_path / "train" / "a.png")
    save_picture(tmp_path / "test" / "b.png")
    lines = [
        {"file_name": "train/a.png", "caption": "a tree"},
        {"file_name": "train/a.png", "caption": ["an oak", None, " "]},
        {"file_name": "test/b.png", "caption": None},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    [tree] = read_hub(tmp_path, "train", Counts())
    [other] = read_hub(tmp_path, "val", Counts())
    assert tree.captions == ("a tree", "an oak") and (other.key, other.captions) == ("test-b", ())


def test_pictures_that_a_hash_deals_out_keep_keys_of_their_own(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    names = [f"{number}.{suffix}" for number in range(60) for suffix in ("jpg", "png")]
    for name in names:
        save_picture(tmp_path / name)
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps({"file_name": name}) for name in names))
    found = {split: {e.key for e in read_hub(tmp_path, split, Counts())} for split in SPLITS}
    assert found["val"] and not found["train"] & found["val"]
    assert len(found["train"] | found["val"]) == len(names)


def test_of_a_few_pictures_some_validate(tmp_path: Path, save_parquet: Callable[..., Path]) -> None:
    for number in range(2, 22):
        root = tmp_path / f"{number}"
        lines = [json.dumps({"file_name": f"{picture}.jpg"}) for picture in range(number)]
        (root / "pictures").mkdir(parents=True)
        (root / "pictures" / "metadata.jsonl").write_text("\n".join(lines))
        for picture in range(number):
            (root / "pictures" / f"{picture}.jpg").touch()
        save_parquet(root / "rows" / "data" / "train.parquet", {"image": [b"x"] * number})
        for form in ("pictures", "rows"):
            found = {split: len(list(read_hub(root / form, split, Counts()))) for split in SPLITS}
            assert min(found.values()) > 0 and sum(found.values()) == number


def test_metadata_may_be_csv(tmp_path: Path, save_picture: Callable[..., Path]) -> None:
    save_picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text('file_name,text\na.png,"red, ""bold"""\n')
    [example] = [example for split in SPLITS for example in read_hub(tmp_path, split, Counts())]
    assert example.captions == ('red, "bold"',)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "a.png,a tree\n\nb.png,a red car, on a road\n",
            r"line 4: has 3 fields, and the header names 2; put",
        ),
        ('a.png,a tree\nb.png,"a lake\nc.png,a hill\n', r"line 3: is not valid CSV .*; close the quotes"),
        ('a.png,"a lake\nb.png,a hill\nc.png,"a sea"\n', r"line 2: is not valid CSV .*; close the quotes"),
    ],
)
def test_a_caption_that_csv_would_cut_or_run_on_is_named(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "metadata.csv").write_text(f"file_name,text\n{rows}")
    with pytest.raises(DataError, match=rf"metadata\.csv, {message}"):
        next(read_hub(tmp_path, "train", Counts()))


def test_a_row_of_csv_without_a_caption_is_a_picture_without_one(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    for name in "ab":
        save_picture(tmp_path / "train" / f"{name}.png")
    (tmp_path / "train" / "metadata.csv").write_text('file_name,text\na.png\n\nb.png,"two\nlines"\n')
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "metadata.csv").write_text("file_name\nnowhere.png\n")
    found = {example.key: example.captions for example in read_hub(tmp_path, "train", Counts())}
    assert found == {"train-a": (), "train-b": ("two lines",)}


def test_rows_of_parquet_files_come_in_order_with_their_own_pictures(parquet_root: Path) -> None:
    counts = Counts()
    train = list(read_hub(parquet_root, "train", counts))
    assert [example.captions for example in train] == [(f"caption {number}",) for number in range(8)]
    assert train[6].key == "data-train-00001-of-00002-00000000" and counts.seen == 8
    [first, _] = read_hub(parquet_root, "val", Counts())
    assert first.captions == ("caption 8",)
    pictures = {np.asarray(load_picture(example.image)).tobytes() for example in train}
    outlines = {np.asarray(load_picture(e.annotation)).tobytes() for e in train if e.annotation}
    assert len(pictures | outlines) == 16


def test_parquet_files_without_a_validation_split_are_dealt_out_by_a_hash(
    tmp_path: Path, save_parquet: Callable[..., Path]
) -> None:
    save_parquet(tmp_path / "data" / "train.parquet", {"image": [b"x"] * 300, "text": ["a"] * 300})
    found = {split: [e.key for e in read_hub(tmp_path, split, Counts())] for split in SPLITS}
    assert len(found["train"]) + len(found["val"]) == 300 and not set(found["train"]) & set(found["val"])
    assert 5 <= len(found["val"]) <= 30


def test_pictures_may_be_plain_bytes_without_captions(
    tmp_path: Path, save_parquet: Callable[..., Path], save_picture: Callable[..., Path]
) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    data = save_picture(tmp_path / "a.png").read_bytes()
    write_table(pa.table({"image": pa.array([data, data], pa.large_binary())}), tmp_path / "test.parquet")
    found = list(read_hub(tmp_path, "val", Counts()))
    assert [example.captions for example in found] == [(), ()]
    assert load_picture(found[1].image).size == (32, 24)


def test_a_footer_that_contradicts_itself_is_refused_before_its_rows_are_counted_out(
    tmp_path: Path, save_parquet: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oft.datasets import parquet

    class Footer:
        num_rows = 10**15
        num_row_groups = 0

    save_parquet(tmp_path / "train.parquet", {"image": [b"x"]})
    count = parquet._num_rows
    monkeypatch.setattr(parquet, "_num_rows", lambda file: count(SimpleNamespace(metadata=Footer)))
    with pytest.raises(DataError, match=r"train\.parquet cannot be read .*counts 1000000000000000 rows"):
        next(read_hub(tmp_path, "train", Counts()))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": ["a"]}, r"no column image .* its columns: picture"),
        ({"image": ["a.png"]}, "no column image"),
    ],
)
def test_parquet_without_pictures_is_refused(
    tmp_path: Path, save_parquet: Callable[..., Path], columns: dict[str, list[str]], message: str
) -> None:
    save_parquet(tmp_path / "train.parquet", columns)
    with pytest.raises(DataError, match=message):
        list(read_hub(tmp_path, "train", Counts()))


def test_another_layout_is_refused_with_this_one(picture_folder: Path) -> None:
    with pytest.raises(DataError, match=r"neither .*; expected the hub's layout: .*image_folder"):
        next(read_hub(picture_folder, "train", Counts()))


@pytest.mark.parametrize("line", ["3", '{"text": "a"}', '{"file_name": 3}', "{"])
def test_a_line_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=r"metadata\.jsonl"):
        next(read_hub(tmp_path, "train", Counts()))
