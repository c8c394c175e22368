"""Real photographs: those that ship with scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture(params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    """A photograph, uint8 [256, 320, 3]: not square, so that height and width cannot be mixed up."""
    import skimage.data
    from PIL import Image

    picture = Image.fromarray(getattr(skimage.data, request.param)())
    return np.asarray(picture.resize((320, 256), Image.Resampling.LANCZOS))
