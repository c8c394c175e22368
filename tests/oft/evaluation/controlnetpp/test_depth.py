from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F

from oft.evaluation.controlnetpp import depth
from oft.evaluation.controlnetpp.depth import NAME, extract_scaled_depth, measure_scaled_depth
from oft.evaluation.depth import extract_depth, score_depth
from oft.evaluation.features import Judge, load_depth_judge
from oft.evaluation.measure import Measurements
from oft.evaluation.preprocessing import Preprocessing, prepare_pictures
from tests.oft.conditions.networks import save_depth_anything


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_anything(tmp_path_factory.mktemp("depth"))


@pytest.fixture(scope="module")
def judge(judge_folder: Path) -> Judge:
    return load_depth_judge(judge_folder)


def test_maps_are_scaled_as_in_eval(photographs: np.ndarray, judge: Judge) -> None:
    """eval/eval.py, line by line; DPT ends with a ReLU, as this network does."""
    pixels = prepare_pictures(photographs, judge.preprocessing, torch.device("cpu"))
    with torch.inference_mode():
        predicted = judge.model(pixel_values=pixels).predicted_depth
    assert predicted.shape[1] != photographs.shape[1] and predicted.amax() > 0
    found = extract_scaled_depth(photographs, judge, batch_size=4)
    for levels, inverse_depth in zip(found, predicted, strict=True):
        if inverse_depth.max() == 0:
            assert not levels.any()
            continue
        picture = F.to_pil_image(inverse_depth / inverse_depth.max()).convert("RGB")
        expected = picture.resize((192, 192), Image.Resampling.BILINEAR).convert("L")
        assert np.abs(levels.astype(int) - np.asarray(expected)).max() <= 1


def constant_judge(*values: float) -> Any:
    """Return a judge that sees these inverse depths in every picture, 2 x 2."""
    seen = torch.tensor(values).view(1, 2, 2)

    class Model:
        device = torch.device("cpu")

        def __call__(self, pixel_values: torch.Tensor) -> Any:
            from transformers.utils import ModelOutput

            return ModelOutput(predicted_depth=seen.expand(len(pixel_values), 2, 2))

    return SimpleNamespace(model=Model(), preprocessing=Preprocessing())


def test_the_farthest_point_stays_where_it_is() -> None:
    """The reference protocol stretches it to 0; only the nearest point is at 255 in both."""
    pictures, judge = np.zeros((1, 2, 2, 3), np.uint8), constant_judge(30.0, 30.0, 60.0, 40.0)
    assert extract_scaled_depth(pictures, judge, 1)[0].ravel().tolist() == [127, 127, 255, 170]
    assert extract_depth(pictures, judge, 1)[0].ravel().tolist() == [0, 0, 255, 85]


def test_a_picture_without_depth_is_black() -> None:
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    assert not extract_scaled_depth(pictures, constant_judge(0.0, 0.0, 0.0, 0.0), 1).any()


def test_measuring_pairs_each_picture_with_its_own_condition(photographs: np.ndarray, judge: Judge) -> None:
    pictures = np.stack([photographs[0], 255 - photographs[0]])
    truth = extract_scaled_depth(pictures, judge, 2)
    apart = score_depth(truth[:1], truth[1:])[0]
    assert apart > 0
    measured = Measurements()
    compared = {"": (pictures[[1, 1]], np.array([1, 0])), "_real": (pictures, np.arange(2))}
    measure_scaled_depth(compared, truth, judge, 2, measured)
    assert measured.scores[NAME] == pytest.approx([0, apart])
    assert measured.metrics == pytest.approx({NAME: apart / 2, f"{NAME}_real": 0})


def test_the_setting_s_network_judges(photographs: np.ndarray, judge_folder: Path, judge: Judge) -> None:
    truth = extract_scaled_depth(photographs, judge, 4)
    task: Any = SimpleNamespace(
        settings=SimpleNamespace(batch_size=4, controlnetpp=SimpleNamespace(depth=str(judge_folder))),
        judges=SimpleNamespace(device="cpu"),
        conditioning_images=truth[..., None],
        compared={"": (photographs, np.arange(4))},
    )
    measured = Measurements()
    depth.FAMILY.measure(task, measured)
    assert measured.metrics == {"controlnetpp_judge": str(judge_folder), NAME: 0}
