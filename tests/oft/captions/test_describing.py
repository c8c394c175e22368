from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from oft.captions.describing import describe_pictures
from oft.captions.journal import Journal
from oft.datasets.examples import read_dataset
from oft.parallel import WORKERS
from oft.types import Counts
from tests.conftest import ROOT, dataset

NUM_PICTURES = 11
BATCH_SIZE = 3


@pytest.fixture
def folder(tmp_path: Path, save_picture: Callable[..., Path]) -> Path:
    """Eleven pictures, two of them damaged."""
    for number in range(NUM_PICTURES):
        save_picture(tmp_path / "own" / f"p{number:02d}.png", seed=number)
    for number in (4, 5):
        (tmp_path / "own" / f"p{number:02d}.png").write_bytes(b"no picture")
    return tmp_path / "own"


class Captioner:
    """Names the batch in every caption, so that another batch gives another caption."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.batches, self._dies_at = 0, dies_at

    def __call__(self, pictures: list[Image.Image]) -> list[str]:
        if self.batches == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.batches += 1
        seen = hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).hexdigest()
        return [f"number {number} of {seen}" for number in range(len(pictures))]


def describe(folder: Path, captioner: Captioner, journal: Path) -> tuple[dict[str, tuple[str, ...]], Counts]:
    counts = Counts()
    examples = read_dataset(dataset("image_folder"), folder, "val", counts)
    return dict(describe_pictures(examples, counts, captioner, BATCH_SIZE, Journal(journal))), counts


def test_every_usable_picture_is_described_and_the_others_are_counted(folder: Path, tmp_path: Path) -> None:
    captions, counts = describe(folder, Captioner(), tmp_path / "journal")
    assert list(captions) == [f"p{number:02d}" for number in range(NUM_PICTURES) if number not in (4, 5)]
    assert (counts.seen, counts.kept, counts.dropped) == (NUM_PICTURES, 9, {"unreadable": 2})


def test_a_killed_captioning_goes_on_and_ends_as_an_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    journal = tmp_path / "killed" / "journal"
    script = (
        "import sys; from pathlib import Path; "
        "from tests.oft.captions.test_describing import Captioner, describe; "
        "describe(Path(sys.argv[1]), Captioner(dies_at=2), Path(sys.argv[2]))"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(folder), str(journal)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    with journal.open("ab") as stream:  # what a kill in the middle of writing leaves
        stream.write(b'{"captions": {"p06": "num')
    whole, resumed = Captioner(), Captioner()
    expected = describe(folder, whole, tmp_path / "journal")
    assert describe(folder, resumed, journal) == expected
    assert (whole.batches, resumed.batches) == (4, 2)
    assert journal.read_bytes() == (tmp_path / "journal").read_bytes()


def test_nothing_is_decoded_or_asked_again_when_all_is_done(folder: Path, tmp_path: Path) -> None:
    first = describe(folder, Captioner(), tmp_path / "journal")
    for path in folder.iterdir():
        path.write_bytes(b"")
    again = Captioner()
    assert describe(folder, again, tmp_path / "journal") == first
    assert again.batches == 0


def test_captions_do_not_depend_on_how_many_processes_decode(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = describe(folder, Captioner(), tmp_path / "one")
    monkeypatch.setenv(WORKERS, "2")
    assert describe(folder, Captioner(), tmp_path / "two") == expected


def test_large_pictures_come_reduced_and_small_ones_as_they_are(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    sizes = {"large": (1600, 900), "small": (500, 400)}
    for name, (width, height) in sizes.items():
        save_picture(tmp_path / "own" / f"{name}.png", width_px=width, height_px=height)
    seen: list[tuple[int, int]] = []

    def captioner(pictures: list[Image.Image]) -> list[str]:
        seen.extend(picture.size for picture in pictures)
        return ["a picture"] * len(pictures)

    examples = read_dataset(dataset("image_folder"), tmp_path / "own", "val", Counts())
    list(describe_pictures(examples, Counts(), captioner, BATCH_SIZE, Journal(tmp_path / "journal")))
    assert seen == [(800, 450), (500, 400)]
