"""No bad file ends a run, and none harms another sample: 1,000 seeded corruptions of small data sets."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oft.datasets import read
from oft.datasets.decoding import Decoded, iterate_pictures
from oft.datasets.embedded import Embedded, _column
from oft.errors import UserError
from oft.prepare.checking import check_beside, wanted_of
from oft.types import SPLITS, ByteSource, Counts
from tests.layouts import ROOTS
from tests.oft.pictures.test_reading import png_header

CASES_A_LAYOUT = 100
PICTURES = {".jpg", ".png"}
OTHER_VALUES = (
    *("null", "[]", "{}", "[", "-1e999", "nan", "1e300", "x x x"),
    *('"../../x.jpg"', '"/etc/passwd"', '"\\ud800"', f'"{"x" * 5000}"'),
)
OTHER_CONTENTS = (b"", b"\0" * 64, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xfe{}", b"{" * 4000, b"[" * 4000)

Rng = np.random.Generator
Corrupt = Callable[[bytes, Rng], bytes]


@dataclass(frozen=True)
class Found:
    """A decoded sample, comparable."""

    size: tuple[int, int]
    pixels: bytes
    annotation: bytes | None
    captions: tuple[str, ...]
    files: tuple[Path, ...]


def truncated(data: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(len(data))] if data else b""


def flipped(data: bytes, rng: Rng) -> bytes:
    """One to four bits turned, but none of the size in a JPEG's header, which nothing else confirms."""
    damaged = bytearray(data)
    frame = re.search(rb"\xff[\xc0-\xc2]\x00\x11\x08", data) if data.startswith(b"\xff\xd8") else None
    size = range(frame.end(), frame.end() + 4) if frame else range(0)
    for place in rng.integers(len(data), size=rng.integers(1, 5)) if data else ():
        if place not in size:
            damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def noise(data: bytes, rng: Rng) -> bytes:
    return rng.bytes(len(data))


def other_text(data: bytes, rng: Rng) -> bytes:
    """A value of a listing or list replaced by another, or one line lost."""
    text = data.decode()
    values = list(re.finditer(r'"[^"]*"|[^\s,:{}\[\]"]+', text))
    if not values:
        return b"\0"
    chosen = values[rng.integers(len(values))]
    other = OTHER_VALUES[rng.integers(len(OTHER_VALUES))]
    return (text[: chosen.start()] + other + text[chosen.end() :]).encode()


def other_format(data: bytes, rng: Rng) -> bytes:
    """The picture in another format under the old name, as careless converters leave it."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception:  # a picture of the fixture that is broken on purpose
        return b"GIF89a"
    stream = io.BytesIO()
    image.save(stream, ["PNG", "TIFF", "BMP"][rng.integers(3)])
    return stream.getvalue()


def huge_header(data: bytes, rng: Rng) -> bytes:
    return png_header(*(int(side) for side in rng.integers(20_000, 2**31, 2)))


def other_content(data: bytes, rng: Rng) -> bytes:
    return OTHER_CONTENTS[rng.integers(len(OTHER_CONTENTS))]


FAULTS: dict[str, tuple[Corrupt, ...]] = {
    "picture": (truncated, flipped, noise, other_format, huge_header, other_content),
    "text": (truncated, flipped, noise, other_text, other_text, other_content),
    "parquet": (truncated, flipped, flipped, flipped, noise, other_content),
}


def kind_of(path: Path) -> str:
    return "picture" if path.suffix in PICTURES else "parquet" if path.suffix == ".parquet" else "text"


def corrupt(path: Path, rng: Rng) -> str:
    """Damage a file, delete it, or put a folder in its place; return what was done."""
    data = path.read_bytes()
    choice = rng.random()
    if choice < 0.1:
        path.unlink()
        return "deleted"
    if choice < 0.15:
        path.unlink()
        path.mkdir()
        return "a folder"
    faults = FAULTS[kind_of(path)]
    fault = faults[rng.integers(len(faults))]
    path.write_bytes(fault(data, rng))
    return fault.__name__


def restore(path: Path, data: bytes) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.write_bytes(data)


def file_of(source: ByteSource | None) -> Path | None:
    return source.file if isinstance(source, Embedded) else source if isinstance(source, Path) else None


def found_in(decoded: Decoded) -> Found:
    example, image, annotation = decoded.example, decoded.image, decoded.annotation
    files = (file_of(example.image), file_of(example.annotation))
    return Found(
        image.size,
        image.tobytes(),
        None if annotation is None else np.ascontiguousarray(annotation).tobytes(),
        example.captions,
        tuple(file for file in files if file),
    )


def decode_all(reader: str, root: Path) -> dict[str, Found]:
    _column.cache_clear()  # a file may be changed and back within one tick of its time stamp
    found: dict[str, Found] = {}
    check_beside(reader, root)
    for split in SPLITS:
        counts = Counts()
        examples = read(reader, root, split, counts)
        for decoded in iterate_pictures(examples, counts, wanted_of(reader)):
            found[decoded.example.key] = found_in(decoded)
        assert counts.seen == counts.kept + counts.dropped.total()
        assert all(counts.offenders[reason] for reason in counts.dropped)
    return found


def check_law(sound: dict[str, Found], found: dict[str, Found], damaged: Path) -> None:
    """Samples apart from the damaged file are as they were; those of it are dropped or keep their size."""
    for key, before in sound.items():
        after = found.get(key)
        if damaged not in before.files and kind_of(damaged) != "text":
            assert after == before, key
        elif after is not None and damaged not in before.files:  # a listing, or captions: pictures stay
            assert (after.size, after.pixels) == (before.size, before.pixels), key
        elif after is not None:
            assert after.size == before.size, key


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_a_damaged_file_is_dropped_or_named_and_harms_no_other_sample(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    reader, root = ROOTS[fixture], request.getfixturevalue(fixture)
    if reader == "image_folder":
        (root / "train" / "a-cat.txt").write_text("a cat\n")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    sound = decode_all(reader, root)
    for case in range(CASES_A_LAYOUT):
        rng = np.random.default_rng([sorted(ROOTS).index(fixture), case])
        path = files[rng.integers(len(files))]
        data = path.read_bytes()
        fault = corrupt(path, rng)
        try:
            found = decode_all(reader, root)
            check_law(sound, found, path)
            assert all(root in (root / file).parents for entry in found.values() for file in entry.files)
        except UserError as error:
            assert kind_of(path) != "picture" and path.name in str(error), f"case {case}: {fault}: {error}"
        except BaseException as error:
            error.add_note(f"case {case}: {path.relative_to(root)}: {fault}")
            raise
        finally:
            restore(path, data)
    assert decode_all(reader, root) == sound


def test_the_cases_meet_drops_rejections_and_survivors(ade20k_root: Path, hub_root: Path) -> None:
    """The law above is worth something only if faults of each outcome occur."""
    outcomes: dict[str, int] = {"dropped": 0, "rejected": 0, "kept": 0}
    files: list[Any] = [
        (reader, root, path)
        for reader, root in (("ade20k", ade20k_root), ("hub", hub_root))
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]
    for case in range(60):
        rng = np.random.default_rng(case)
        reader, root, path = files[rng.integers(len(files))]
        data, before = path.read_bytes(), decode_all(reader, root)
        corrupt(path, rng)
        try:
            after = decode_all(reader, root)
            outcomes["kept" if before.keys() == after.keys() else "dropped"] += 1
        except UserError:
            outcomes["rejected"] += 1
        restore(path, data)
    assert min(outcomes.values()) >= 3, outcomes
