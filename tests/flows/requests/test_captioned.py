"""Captions and conditioning pictures are found from wherever they come; what lacks either is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flows.requests import sources
from flows.requests.captioned import Captioned, all_in, collect_captioned, with_both_splits
from flows.requests.site import Site
from flows.requests.sources import Wanted
from oft.errors import DataError

from .conftest import WebServer, picture, zipped

Files = dict[str, bytes]

IMAGES = Wanted("images", 2, 6, captioned=True)
CONDITIONED = IMAGES._replace(conditioned=True)


def collect(
    source: object, folder: Path, site: Site, wanted: Wanted = IMAGES, **options: Any
) -> list[Captioned]:
    folder.mkdir()
    return collect_captioned(str(source), 64, folder, site, wanted, **options)


def listing(*lines: Any) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def as_files(captions: dict[int, str], folder: str = "") -> Files:
    """Pictures by number, each with its caption beside it."""
    pictures = {f"{folder}{number}.png": picture(number) for number in captions}
    return pictures | {f"{folder}{number}.txt": caption.encode() for number, caption in captions.items()}


def test_captions_come_the_same_from_text_files_and_metadata_and_from_everywhere(
    tmp_path: Path, site: Site, web: WebServer, s3: Any
) -> None:
    captions = {1: "a cat", 2: "a dog", 3: "a house"}
    beside = as_files(captions, "set/") | {"__MACOSX/set/._1.txt": b"x", "set/.DS_Store": b"x"}
    beside["set/3.TXT"] = beside.pop("set/3.txt")
    listed = {f"{number}0.png": picture(number) for number in captions} | {
        "metadata.jsonl": listing(
            *({"file_name": f"{number}0.png", "text": text} for number, text in captions.items())
        )
    }
    for name, content in beside.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
        s3.put_object(Bucket="bucket", Key=f"trainings/folder/{name}", Body=content)
    (tmp_path / "a.zip").write_bytes(zipped(beside))
    (tmp_path / "b.zip").write_bytes(zipped(listed))
    web.answer = lambda _: (200, {}, zipped(listed))
    trusting = site._replace(hosts=frozenset({web.authority}))
    everywhere = [
        tmp_path / "folder", tmp_path / "a.zip", tmp_path / "b.zip", f"{web.url}/b.zip?signature=x",
        "s3://bucket/trainings/folder",
    ]  # fmt: skip
    for number, source in enumerate(everywhere):
        found = collect(source, tmp_path / str(number), trusting)
        assert {each.image.read_bytes(): each.captions for each in found} == {
            picture(number): (caption,) for number, caption in captions.items()
        }
        assert found == sorted(found, key=lambda each: each.content)
        assert {each.condition for each in found} == {None}


def test_a_set_with_conditioning_pictures_brings_them(tmp_path: Path, site: Site) -> None:
    lines = [
        {"file_name": f"{n}.png", "text": f"number {n}", "conditioning_image": f"edges/{n}.png"}
        for n in (1, 2)
    ]
    files = {f"{n}.png": picture(n) for n in (1, 2)} | {f"edges/{n}.png": picture(10 + n) for n in (1, 2)}
    (tmp_path / "a.zip").write_bytes(
        zipped(files | {"train/metadata.jsonl": b"", "metadata.jsonl": listing(*lines)})
    )
    found = collect(tmp_path / "a.zip", tmp_path / "one", site, CONDITIONED)
    assert {(each.image.read_bytes(), each.condition and each.condition.read_bytes()) for each in found} == {
        (picture(n), picture(10 + n)) for n in (1, 2)
    }
    # A condition computed from the picture has no use for them.
    found = collect(tmp_path / "a.zip", tmp_path / "two", site)
    assert [each.condition for each in found] == [None, None]


def test_without_a_need_for_captions_there_may_be_none(tmp_path: Path, site: Site) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({f"IMG_{n}.png": picture(n) for n in range(2)}))
    found = collect(tmp_path / "a.zip", tmp_path / "one", site, needs_captions=False)
    assert [each.captions for each in found] == [(), ()]
    with pytest.raises(
        DataError, match=r"(?s)2 of 2 pictures .*IMG_0\.png: has no caption; write it into IMG_0\.txt"
    ):
        collect(tmp_path / "a.zip", tmp_path / "two", site)


TWO = as_files({1: "a cat", 2: "a dog"})
LINES = [{"file_name": f"{n}.png", "text": "a cat"} for n in (1, 2)]
PAIR = {f"{n}.png": picture(n) for n in (1, 2)}


def broken(content: bytes) -> Files:
    return PAIR | {"metadata.jsonl": content}


HOSTILE: list[tuple[Files, str]] = [
    (as_files({1: "a cat"}), "there are 1 pictures; give 2 to 6"),
    (as_files(dict.fromkeys(range(7), "a cat")), "more than 6 files; give 2 to 6"),
    (TWO | {"run.sh": b"rm -rf /"}, "run.sh: unreadable: not a picture"),
    (TWO | {"notes.md": b"x"}, "'notes.md' is neither a picture nor has captions"),
    (TWO | {"data/train.parquet": b"PAR1"}, "'data/train.parquet' is neither a picture nor has captions"),
    (TWO | {"1.txt": b"x" * 65_537}, "1.txt has 0.1 MB; the most is 0 MB"),
    (TWO | {"1.txt": b"\xff\xfe\xff"}, "1.txt is not UTF-8 text"),
    (TWO | {"metadata.jsonl": listing(*LINES)}, "captions are in 'metadata.jsonl' and in '1.txt'"),
    (TWO | {"train/3.png": picture(3), "train/3.txt": b"a fish"}, "2 outside_splits (beside the folders"),
    (PAIR | {"3.png": picture(3), "metadata.jsonl": listing(*LINES)}, "3.png: does not belong to the set"),
    (broken(listing(*LINES, {"file_name": "../../etc/passwd", "text": "x"})), "leads out of the data set"),
    (broken(listing(*LINES, {"file_name": "/etc/passwd", "text": "x"})), "leads out of the data set"),
    (broken(listing(*LINES, {"file_name": "9.png", "text": "x"})), "1 missing"),
    (broken(listing(*LINES, {"file_name": "9" * 100_000, "text": "x"})), "999…"),
    (broken(listing(LINES[0] | {"conditioning_image": "../up.png"}, LINES[1])), "leads out of the data set"),
    (broken(listing(LINES[0], {"text": "x"})), "metadata.jsonl, line 2: has no file_name"),
    (broken(b"{" * 100_000), "metadata.jsonl, line 1: not valid JSON"),
    (broken(listing(LINES[0], {"file_name": "2.png", "text": " \x00 "})), "2.png: has no caption"),
    (TWO | {"3.png": picture(3, 63), "3.txt": b"x"}, "3.png: has 63 x 63 pixels; the shorter side"),
    (TWO | {"3.png": b"#!/bin/sh", "3.txt": b"x"}, "1 of 3 pictures cannot be used"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "said"), HOSTILE, ids=[said for _, said in HOSTILE])
def test_a_faulty_set_is_refused_with_the_reason_and_without_the_server_s_folders(
    files: Files, said: str, tmp_path: Path, site: Site
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(files))
    with pytest.raises(DataError) as raised:
        collect(tmp_path / "a.zip", tmp_path / "downloads", site)
    message = str(raised.value)
    assert message.startswith("images: ") and said in message
    assert str(tmp_path) not in message and len(message) < 1000


def oblong(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture(seed, 96))).crop((0, 0, 96, 64)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (LINES, "1.png: has no conditioning_image in metadata.jsonl"),
        (
            [line | {"conditioning_image": "edge.png"} for line in LINES],
            "edge.png: has 96 x 64 pixels, its picture",
        ),
    ],
)
def test_a_conditioning_picture_must_be_there_and_of_the_picture_s_size(
    lines: list[dict[str, str]], said: str, tmp_path: Path, site: Site
) -> None:
    files = PAIR | {"metadata.jsonl": listing(*lines)}
    if "conditioning_image" in lines[0]:
        files["edge.png"] = oblong(3)
    (tmp_path / "a.zip").write_bytes(zipped(files))
    with pytest.raises(DataError, match=said):
        collect(tmp_path / "a.zip", tmp_path / "downloads", site, CONDITIONED)


@pytest.mark.parametrize(
    "name", ["/etc/up.png", "a//b.png", "a\\..\\b.png", "line\nfeed.png", f"{'n' * 300}.png"]
)
def test_an_object_s_name_that_is_no_path_is_refused_where_names_matter(
    name: str, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "list_remote", lambda _: {name: 10, "b.png": 10})
    monkeypatch.setattr(sources, "fetch_remote", lambda _, path: path.write_bytes(picture(0)))
    with pytest.raises(DataError, match="rename the object"):
        collect("s3://bucket/trainings/x", tmp_path / "downloads", site)
    assert not list((tmp_path / "downloads" / "objects").iterdir())


def captioned(folder: Path, seeds: list[int], splits: list[str] | None = None) -> list[Captioned]:
    paths = []
    for place, seed in enumerate(seeds):
        paths.append(folder / f"{place}.png")
        paths[-1].write_bytes(picture(seed, 8))
    named: list[Any] = splits or ["val"] * len(seeds)
    return [Captioned(path, (), None, split) for path, split in zip(paths, named, strict=True)]


def test_neither_split_is_empty_where_there_are_two_pictures(tmp_path: Path) -> None:
    for number in range(2, 12):
        for split in ("train", "val"):
            pictures = captioned(tmp_path, list(range(number)), [split] * number)
            assert {each.split for each in with_both_splits(pictures)} == {"train", "val"}
    same = with_both_splits(captioned(tmp_path, [0, 0]))
    assert sorted(each.split for each in same) == ["train", "val"]
    [single] = with_both_splits(captioned(tmp_path, [0]))
    assert single.split in ("train", "val")


def test_a_picture_more_moves_at_most_one_other(tmp_path: Path) -> None:
    held_out: list[set[bytes]] = []
    for number in range(2, 60):
        dealt = with_both_splits(captioned(tmp_path, list(range(number))))
        held_out.append({each.image.read_bytes() for each in dealt if each.split == "val"})
    new = [{picture(number, 8)} for number in range(2, 59)]
    assert all(
        len((before ^ after) - own) <= 1
        for before, after, own in zip(held_out, held_out[1:], new, strict=False)
    )
    assert 1 <= len(held_out[-1]) <= 9


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train/", "validation/"], ["train", "val"]),
        (["a train of thought/", "b/"], ["train", "train"]),
        (["", ""], ["train", "train"]),
    ],
)
def test_a_set_holds_out_what_its_folders_say(
    folders: list[str], splits: list[str], tmp_path: Path, site: Site
) -> None:
    files = {}
    for number, folder in enumerate(folders):
        files[f"{folder}{number}.png"] = picture(number)
        line = listing({"file_name": f"{number}.png", "text": "a cat"})
        files[f"{folder}metadata.jsonl"] = files.get(f"{folder}metadata.jsonl", b"") + line
    (tmp_path / "a.zip").write_bytes(zipped(files))
    found = {
        each.image.read_bytes(): each.split for each in collect(tmp_path / "a.zip", tmp_path / "one", site)
    }
    assert [found[picture(number)] for number in range(2)] == splits


def test_pictures_that_kohya_s_folders_repeat_are_trained_on_as_often(tmp_path: Path, site: Site) -> None:
    files = {f"1_a cat/{n}.png": picture(n) for n in range(2)} | {"2_a dog/2.png": picture(2)}
    (tmp_path / "a.zip").write_bytes(zipped(files))
    found = collect(tmp_path / "a.zip", tmp_path / "one", site)
    counts = {
        caption: [each.split for each in found if each.captions == (caption,)]
        for caption in ("a cat", "a dog")
    }
    # One of the three is held out, by a hash of its name, and comes once.
    assert counts in (
        {"a cat": ["train", "val"], "a dog": ["train", "train"]},
        {"a cat": ["val", "train"], "a dog": ["train", "train"]},
        {"a cat": ["train", "train"], "a dog": ["val"]},
    )
    with pytest.raises(
        DataError, match="there are 8 pictures, repeated ones counted as often; the most are 6"
    ):
        (tmp_path / "b.zip").write_bytes(zipped(files | {"3_a/3.png": picture(3), "3_a/4.png": picture(4)}))
        collect(tmp_path / "b.zip", tmp_path / "two", site)


def test_what_a_source_holds_out_is_held_out_and_what_is_given_apart_too(tmp_path: Path) -> None:
    pictures = captioned(tmp_path, [0, 1, 2], ["train", "val", "val"])
    assert with_both_splits(pictures) == pictures
    assert [each.split for each in all_in("train", pictures)] == ["train"] * 3


def test_an_object_that_is_anothers_folder_is_refused(tmp_path: Path, site: Site, s3: Any) -> None:
    for name in ("a.png", "a.png/b.png"):
        s3.put_object(Bucket="bucket", Key=f"trainings/folder/{name}", Body=picture(0))
    with pytest.raises(
        DataError, match=r"'a\.png/b\.png' lies below 'a\.png', which is an object too; rename"
    ):
        collect("s3://bucket/trainings/folder", tmp_path / "one", site)
