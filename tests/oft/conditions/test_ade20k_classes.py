"""The class table and palette of ADE20K."""

from __future__ import annotations

import numpy as np
import pytest

from oft.conditions.ade20k_classes import CLASS_IDS, CLASS_NAMES, PALETTE, colourise


def test_names_and_colours_stand_at_the_official_ids() -> None:
    assert len(CLASS_NAMES) == 150
    assert PALETTE.shape == (151, 3)
    known = {
        "wall": 1,
        "sky": 3,
        "tree": 5,
        "road": 7,
        "car": 21,
        "house": 26,
        "sea": 27,
        "boat": 77,
        "flag": 150,
    }
    assert {name: CLASS_IDS[name] for name in known} == known
    # Colours as ControlNet's own list gives them.
    official = {0: (0, 0, 0), 1: (120, 120, 120), 3: (6, 230, 230), 21: (0, 102, 200), 150: (92, 0, 255)}
    assert {index: tuple(PALETTE[index].tolist()) for index in official} == official


def test_only_road_and_skyscraper_share_a_colour() -> None:
    assert len({tuple(colour) for colour in PALETTE.tolist()}) == 150
    assert tuple(PALETTE[CLASS_IDS["road"]]) == tuple(PALETTE[CLASS_IDS["skyscraper"]]) == (140, 140, 140)


def test_colourise_paints_every_pixel_in_its_class_colour() -> None:
    labels = np.arange(151, dtype=np.uint8).reshape(1, 151)
    painted = colourise(labels)
    assert painted.shape == (1, 151, 3)
    assert np.array_equal(painted[0], PALETTE)


def test_colourise_refuses_what_is_no_id_map() -> None:
    with pytest.raises(ValueError, match="0 to 150, got 255"):
        colourise(np.full((2, 2), 255, np.uint8))
