from __future__ import annotations

import numpy as np

from oft.conditions import CONDITIONS, extract_condition


def test_what_is_given_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    image, given = rng.integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    for name in ("circles", "given"):
        np.testing.assert_array_equal(extract_condition(CONDITIONS[name], image, given), given)
