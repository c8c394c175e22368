"""Real photographs: those that ship with scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture(params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    """Each photograph, uint8 [256, 320, 3]: not square, so that height and width cannot be mixed up."""
    return photograph(request.param)


@pytest.fixture
def cat() -> NDArray[np.uint8]:
    """One of them."""
    return photograph("chelsea")


def photograph(name: str) -> NDArray[np.uint8]:
    import skimage.data
    from PIL import Image

    picture = Image.fromarray(getattr(skimage.data, name)())
    return np.array(picture.resize((320, 256), Image.Resampling.LANCZOS))
