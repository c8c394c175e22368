"""Points on a face, from a text file beside the picture: one ``x y`` a line, pixels of the picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from oft.pictures import PictureError, open_source
from oft.types import ByteSource

NUM_LANDMARKS = 68
MAX_FILE_BYTES = 1 << 16


def load_landmarks(source: ByteSource) -> NDArray[np.float64]:
    """Return the points of a file, [68, 2]: x and y in pixels, in the order of the 68-point mark-up of iBUG.

    Raises:
        PictureError: the file is missing, or is not 68 lines of two finite numbers.
    """
    try:
        with open_source(source) as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError("too long")
        rows = [line.replace(",", " ").split() for line in data.decode().splitlines()]
        points = [[float(value) for value in row] for row in rows if row]
    except FileNotFoundError as error:
        raise PictureError("missing", source.name) from error
    except (OSError, ValueError) as error:
        raise PictureError("wrong_form", source.name) from error
    sound = len(points) == NUM_LANDMARKS and all(len(point) == 2 for point in points)
    if not sound or not all(math.isfinite(value) for point in points for value in point):
        raise PictureError("wrong_form", source.name)
    return np.array(points, dtype=np.float64)
