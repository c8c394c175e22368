from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miniature.sheets import COLUMNS, MARGIN_PX, SHOWN_PX, lay_out, main, read_run
from oft.errors import DataError
from oft.shards.samples import sample_archive, write_samples
from oft.types import Request


def flat(level: int) -> np.ndarray:
    return np.full((8, 8, 3), level, np.uint8)


def test_the_first_picture_of_each_prompt_is_shown_whatever_the_shards(tmp_path: Path) -> None:
    requests = [
        Request(f"prompt-{place}", index, f"toy {place}", 0) for place in (0, 1, 2) for index in (0, 1)
    ]
    pictures = [(request, flat(10 * number)) for number, request in enumerate(requests)]
    for shard in (0, 1):
        write_samples(sample_archive(tmp_path, shard), pictures[shard::2][::-1])
    drawn = read_run(tmp_path)
    assert [(prompt, picture[0, 0, 0]) for prompt, picture in drawn] == [
        ("toy 0", 0),
        ("toy 1", 20),
        ("toy 2", 40),
    ]


def test_pictures_stand_in_rows() -> None:
    sheet = np.asarray(lay_out([flat(40 * number) for number in range(COLUMNS + 1)]))
    step = SHOWN_PX + MARGIN_PX
    assert sheet.shape == (2 * step + MARGIN_PX, COLUMNS * step + MARGIN_PX, 3)
    middle = MARGIN_PX + SHOWN_PX // 2
    assert sheet[middle, middle::step, 0].tolist() == [40 * number for number in range(COLUMNS)]
    assert sheet[middle + step, middle, 0] == 40 * COLUMNS
    assert sheet[middle + step, middle + step].tolist() == [255] * 3


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        main([str(tmp_path / "nowhere"), str(tmp_path / "sheet.jpg")])
