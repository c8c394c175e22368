"""ControlNet's annotators with random weights, in files as they are published."""

from __future__ import annotations

import pickle
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oft.data.conditions import CONDITIONS
from oft.data.conditions.annotators import hushed, lone_imports, resize
from oft.data.conditions.condition import Settings
from oft.errors import CheckpointError

SIDE_PX = 64


def save_hed(folder: Path) -> None:
    import torch
    from controlnet_aux.hed import ControlNetHED_Apache2

    torch.save(ControlNetHED_Apache2().state_dict(), folder / "ControlNetHED.pth")


def save_lineart(folder: Path) -> None:
    import torch
    from controlnet_aux.lineart import Generator

    for name in ("sk_model.pth", "sk_model2.pth"):
        torch.save(Generator(3, 1, 3).state_dict(), folder / name)


def save_mlsd(folder: Path) -> None:
    import torch
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large

    torch.save(MobileV2_MLSD_Large().state_dict(), folder / "mlsd_large_512_fp32.pth")


def save_normal(folder: Path) -> None:
    import torch
    from controlnet_aux.normalbae.nets.NNET import NNET

    options = types.SimpleNamespace(
        mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
    )
    state = NNET(options).half().state_dict()
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, folder / "scannet.pt")


def save_openpose(folder: Path) -> None:
    import torch
    from controlnet_aux.open_pose.model import bodypose_model

    # Published without the names of the two stages' containers.
    state = bodypose_model().half().state_dict()
    published = {name.partition(".")[2]: value for name, value in state.items()}
    torch.save(published, folder / "body_pose_model.pth")


SAVERS: dict[str, Callable[[Path], None]] = {
    "hed": save_hed,
    "lineart": save_lineart,
    "mlsd": save_mlsd,
    "normal": save_normal,
    "openpose": save_openpose,
    "scribble": save_hed,
}
EXTRA: dict[str, Settings] = {
    "lineart": {"coarse": False},
    "mlsd": {"score_threshold": 0.1, "distance_threshold": 0.1},
    "openpose": {"hands_and_face": False},
}


@pytest.fixture(scope="module")
def annotators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like lllyasviel/Annotators."""
    import torch

    folder = tmp_path_factory.mktemp("annotators")
    with torch.random.fork_rng(), lone_imports(), hushed():
        torch.manual_seed(0)
        for save in dict.fromkeys(SAVERS.values()):
            save(folder)
    return folder


def settings_of(name: str, model: Path | str) -> dict[str, Any]:
    return {"model": str(model), "resolution_px": SIDE_PX, **EXTRA.get(name, {})}


def load(name: str, model: Path | str, **settings: Any) -> Any:
    condition = CONDITIONS[name]
    assert condition.load is not None
    return condition.load(settings_of(name, model) | settings, "cpu")


@pytest.mark.parametrize("name", SAVERS)
def test_a_network_draws_each_picture_at_its_own_size_and_always_the_same(
    annotators: Path, name: str, photo: NDArray[np.uint8]
) -> None:
    extract = load(name, annotators)
    small = photo[:40, :48]
    first, second = extract([photo, small])
    assert first.shape == photo.shape and second.shape == small.shape
    assert first.dtype == second.dtype == np.uint8
    np.testing.assert_array_equal(extract([small])[0], second)
