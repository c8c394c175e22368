"""What magnitudes add to the pictures: nothing where the pictures are the same, the difference where not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from oft.evaluation.magnitudes import measure_before_magnitudes
from oft.evaluation.measure import Generated, Measurements

SOURCES = np.array([0, 0, 1, 2])


@dataclass(frozen=True)
class Task:
    generated: Generated


def task(level: int) -> Any:
    pictures = np.full((4, 2, 2, 3), level, np.uint8)
    return Task(Generated(pictures, SOURCES, ["a"] * 4, [("0", 0), ("0", 1), ("1", 0), ("2", 0)]))


def measure(task: Any) -> Measurements:
    """Brightness, a score of each picture, and spread, which the set alone has."""
    measured = Measurements()
    brightness = task.generated.pictures.mean(axis=(1, 2, 3)) + np.array([0.0, 2.0, 5.0, np.nan])
    measured.scores["brightness"] = brightness.tolist()
    measured.metrics = {"brightness": float(np.nanmean(brightness)), "spread": 1.0, "num_images": 4}
    return measured


def added(before: int) -> dict[str, float]:
    fitted = task(10)
    pictures = task(before).generated.pictures
    rng = np.random.default_rng(0)
    names = ["brightness", "spread", "absent"]
    return measure_before_magnitudes(fitted, measure(fitted), pictures, measure, names, rng)


def test_equal_pictures_gain_nothing() -> None:
    found = added(10)
    assert found["brightness_added_by_magnitudes"] == 0.0
    assert found["brightness_added_by_magnitudes_low"] == found["brightness_added_by_magnitudes_high"] == 0.0


def test_the_gain_is_after_minus_before_of_the_conditions_that_have_a_score() -> None:
    found = added(7)
    assert found["brightness_added_by_magnitudes"] == 3.0
    assert found["brightness_before_magnitudes"] == np.nanmean([7.0, 9.0, 12.0, np.nan])
    assert found["spread_before_magnitudes"] == 1.0
    assert set(found) == {
        "brightness_before_magnitudes",
        "brightness_added_by_magnitudes",
        "brightness_added_by_magnitudes_low",
        "brightness_added_by_magnitudes_high",
        "spread_before_magnitudes",
    }
