from __future__ import annotations

from typing import Any

import numpy as np

from oft.conditions.canny import extract_canny
from oft.params import parse_params
from oft.report.edges import edge_reextractor


def test_edges_are_extracted_for_canny_tasks_alone(values: dict[str, Any]) -> None:
    picture = np.zeros((16, 16, 3), dtype=np.uint8)
    picture[4:12, 4:12] = 255
    reextract = edge_reextractor(parse_params(values))
    found = reextract("canny_coco", picture)
    assert found is not None and found.any()
    np.testing.assert_array_equal(found, extract_canny(picture, 100, 200))
    assert reextract("segm_ade20k", picture) is None


def test_thresholds_are_the_runs(values: dict[str, Any]) -> None:
    picture = np.zeros((16, 16, 3), dtype=np.uint8)
    picture[:, 8:] = 20
    assert not np.any(edge_reextractor(parse_params(values))("canny_coco", picture))
    values["conditions"]["canny"] = {"low_threshold": 5, "high_threshold": 10}
    assert np.any(edge_reextractor(parse_params(values))("canny_coco", picture))
