from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oft.datasets.landmarks import NUM_LANDMARKS, load_landmarks
from oft.pictures import PictureError

POINTS = np.random.default_rng(0).uniform(0, 1024, (NUM_LANDMARKS, 2))


@pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
def test_points_are_read_as_they_were_written(tmp_path: Path, delimiter: str) -> None:
    np.savetxt(tmp_path / "0.txt", POINTS, delimiter=delimiter)
    np.testing.assert_allclose(load_landmarks(tmp_path / "0.txt"), POINTS, rtol=1e-12)


@pytest.mark.parametrize(
    "text", ["", "1 2\n" * 67, "1 2 3\n" * 68, "1 nan\n" * 68, "a b\n" * 68, "1 2\n" * 20000]
)
def test_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.txt").write_text(text)
    with pytest.raises(PictureError, match=r"0\.txt: wrong_form: .*68 lines"):
        load_landmarks(tmp_path / "0.txt")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="missing"):
        load_landmarks(tmp_path / "0.txt")
