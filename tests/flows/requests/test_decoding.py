"""Decoding a picture of a request takes bounded time and memory, whatever the picture is."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.executors.pythonpath import with_pythonpath
from flows.requests import decoding
from flows.requests.decoding import MAX_SCANS, count_scans, decode, decode_pictures
from oft.errors import DataError

from .conftest import picture


def jpeg(seed: int = 0, thumbnail: bytes = b"", **options: object) -> bytes:
    """A JPEG of noise, with a comment if need be."""
    values = np.random.default_rng(seed).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=90, **options)
    content = stream.getvalue()
    comment = b"\xff\xfe" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    return content[:2] + (comment if thumbnail else b"") + content[2:]


def with_scans(content: bytes, number: int) -> bytes:
    """A progressive JPEG that repeats its last scan, which refines what is there."""
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * number + content[-2:]


def test_the_scans_of_a_jpeg_are_counted_and_nothing_else_in_it() -> None:
    plain, progressive = jpeg(), jpeg(progressive=True)
    assert count_scans(plain) == 1
    assert 2 <= count_scans(progressive) <= 12
    assert count_scans(with_scans(progressive, 30)) == count_scans(progressive) + 29
    # What a thumbnail or the bytes of a scan hold is no marker; nor is what stands behind the picture.
    assert count_scans(jpeg(thumbnail=progressive)) == 1
    assert count_scans(jpeg(restart_marker_blocks=1)) == 1
    assert count_scans(plain + progressive) == 1
    assert count_scans(picture(0)) == count_scans(b"") == count_scans(b"\xff\xd8\xff\xda") - 1 == 0


def test_counting_ends_on_any_bytes() -> None:
    assert count_scans(b"\xff\xd8" + b"\xff" * 1_000_000) == 0
    assert count_scans(b"\xff\xd8" + b"\xff\xe0\0\0" * 100_000) == 0


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "load_picture", lambda _: pytest.fail("was decoded"))
    (tmp_path / "a.jpg").write_bytes(with_scans(jpeg(progressive=True), MAX_SCANS + 1))
    with pytest.raises(DataError, match=rf"a\.jpg: is a JPEG of \d+ scans, the most are {MAX_SCANS}"):
        decode(tmp_path / "a.jpg")


def test_the_pixels_of_a_picture_are_counted_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "load_picture", lambda _: pytest.fail("was decoded"))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64 * 64 - 1)
    (tmp_path / "a.png").write_bytes(picture(0))
    with pytest.raises(DataError, match=r"a\.png: has 64 x 64 pixels, more than"):
        decode(tmp_path / "a.png")


def test_pixels_are_counted_in_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)  # they would hold for the tests too
    monkeypatch.setattr(decoding, "MAX_PIXELS_IN_SUM", 2 * 64 * 64 - 1)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for seed, path in enumerate(paths):
        path.write_bytes(picture(seed))
    decoding.main([str(path) for path in paths])
    first, second, fault = capsys.readouterr().out.splitlines()
    assert first == second == "[64, 64]"
    assert "megapixels in sum" in fault


def test_sound_pictures_are_told_from_others_by_a_process_of_their_own(tmp_path: Path) -> None:
    sound, broken, turned = (tmp_path / name for name in ("sound.png", "broken.png", "turned.jpg"))
    sound.write_bytes(picture(0))
    broken.write_bytes(picture(1)[:1000])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.write_bytes(jpeg(exif=exif))
    sizes, faults = decode_pictures([sound, broken, turned], tmp_path)
    assert sizes == {sound: (64, 64), turned: (64, 48)}
    assert len(faults) == 1 and faults[0].startswith("broken.png: ")


def test_more_pictures_than_a_command_line_takes_are_decoded(tmp_path: Path) -> None:
    """Of arguments a process gets some megabytes at most: a thousand names of 3,000 bytes are as much."""
    deep = tmp_path.joinpath(*["d" * 200] * 15)
    deep.mkdir(parents=True)
    paths = [deep / f"{'n' * 150}{number}.png" for number in range(1000)]
    for path in paths:
        path.write_bytes(b"none")
    odd = deep / os.fsdecode(b"a\xff\n.png")
    odd.write_bytes(picture(0))
    assert sum(len(str(path)) for path in paths) > 3 << 20
    sizes, faults = decode_pictures([*paths, odd], tmp_path)
    assert sizes == {odd: (64, 64)} and len(faults) == 1000


def test_a_picture_that_cannot_be_read_is_a_fault_in_words(tmp_path: Path) -> None:
    (tmp_path / "sound.png").write_bytes(picture(0))
    (tmp_path / "closed.png").mkdir()  # as one of mode 000, for whoever may read everything
    sizes, faults = decode_pictures([tmp_path / "closed.png", tmp_path / "sound.png"], tmp_path)
    assert sizes == {tmp_path / "sound.png": (64, 64)}
    assert faults == ["closed.png: cannot be read: Is a directory; let the server's user read it"]


@pytest.mark.parametrize(
    "name", ["SIGXCPU", "SIGSEGV"], ids=["time", "memory, and a decoder that does not look"]
)
def test_a_picture_that_uses_up_what_it_may_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    code = f"import os, signal; print('[64, 64]', flush=True); os.kill(os.getpid(), signal.{name})"
    monkeypatch.setattr(decoding, "module_command", lambda *_: [sys.executable, "-c", code])
    sizes, faults = decode_pictures(paths, tmp_path)
    assert sizes == {paths[0]: (64, 64)}
    assert len(faults) == 1 and faults[0].startswith("b.png: takes too long or too much memory")


def test_the_clock_ends_a_process_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time; print('[64, 64]', flush=True); time.sleep(600)"
    monkeypatch.setattr(decoding, "module_command", lambda *_: [sys.executable, "-c", code])
    monkeypatch.setattr(decoding, "MAX_SECONDS", 1.0)
    sizes, faults = decode_pictures([tmp_path / "a.png", tmp_path / "b.png"], tmp_path)
    assert len(sizes) <= 1
    assert len(faults) == 1 and "takes too long" in faults[0]


def test_the_kernel_keeps_the_limits(tmp_path: Path) -> None:
    """Some kilobytes that claim 16 million pixels, with memory for half of them."""
    path = tmp_path / "a.png"
    Image.new("L", (4000, 4000)).save(path)
    code = (
        "from flows.requests import decoding; decoding.MAX_MEMORY_BYTES = 8 << 20; "
        f"decoding.main([{str(path)!r}, {str(path)!r}])"
    )
    environment = with_pythonpath(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == second and "takes too much memory to decode; make it smaller" in first
