"""ControlNet's annotators with random weights, in files as they are published."""

from __future__ import annotations

import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from oft.conditions import CONDITIONS
from oft.conditions.annotators import silenced, without_package_init
from oft.conditions.condition import Settings
from oft.conditions.mlsd import find_segments
from oft.errors import CheckpointError

SIDE_PX = 64


def save_hed(folder: Path) -> None:
    from controlnet_aux.hed import ControlNetHED_Apache2

    torch.save(ControlNetHED_Apache2().state_dict(), folder / "ControlNetHED.pth")


def save_lineart(folder: Path) -> None:
    from controlnet_aux.lineart import Generator

    for name in ("sk_model.pth", "sk_model2.pth"):
        torch.save(Generator(3, 1, 3).state_dict(), folder / name)


def save_mlsd(folder: Path) -> None:
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large

    torch.save(MobileV2_MLSD_Large().state_dict(), folder / "mlsd_large_512_fp32.pth")


def save_normal(folder: Path) -> None:
    from controlnet_aux.normalbae.nets.NNET import NNET

    options = types.SimpleNamespace(
        mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
    )
    state = NNET(options).half().state_dict()
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, folder / "scannet.pt")


def save_openpose(folder: Path) -> None:
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
    folder = tmp_path_factory.mktemp("annotators")
    with torch.random.fork_rng(), without_package_init(), silenced():
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


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    import skimage.data

    photo: NDArray[np.uint8] = skimage.data.chelsea()[100:164, 150:246]
    return photo


@pytest.mark.parametrize("name", SAVERS)
def test_a_network_draws_each_picture_at_its_own_size_and_always_the_same(
    annotators: Path, name: str, picture: NDArray[np.uint8]
) -> None:
    extract = load(name, annotators)
    small = picture[:40, :48]
    drawn, small_drawn = extract([picture, small])
    assert drawn.shape == picture.shape and small_drawn.shape == small.shape
    assert drawn.dtype == small_drawn.dtype == np.uint8
    np.testing.assert_array_equal(extract([small])[0], small_drawn)
    np.testing.assert_array_equal(load(name, annotators)([small])[0], small_drawn)


def test_soft_edges_are_the_mean_probability_of_the_networks_five_maps(
    annotators: Path, picture: NDArray[np.uint8]
) -> None:
    import torch.nn.functional as F

    with without_package_init():
        from controlnet_aux.hed import ControlNetHED_Apache2
    network = ControlNetHED_Apache2()
    network.load_state_dict(torch.load(annotators / "ControlNetHED.pth", weights_only=True))
    square = picture[:, :SIDE_PX]
    with torch.no_grad():
        maps = network(torch.from_numpy(square.copy()).float().permute(2, 0, 1)[None])
    sized = [F.interpolate(found, (SIDE_PX, SIDE_PX), mode="bilinear") for found in maps]
    expected = torch.stack(sized).mean(0).sigmoid()[0, 0].numpy() * 255
    drawn = load("hed", annotators)([square])[0]
    assert np.abs(drawn[..., 0] - expected).max() < 2 and (drawn == drawn[..., :1]).all()


def test_scribbles_and_segments_are_white_on_black(annotators: Path, picture: NDArray[np.uint8]) -> None:
    square = picture[:, :SIDE_PX]
    [segments] = load("mlsd", annotators, score_threshold=0.0, distance_threshold=0.0)([square])
    assert set(np.unique(segments)) == {0, 255}
    assert not load("mlsd", annotators, score_threshold=1.0)([square])[0].any()
    assert set(np.unique(load("scribble", annotators)([square])[0])) <= {0, 255}


def test_segments_are_controlnet_aux_s(generator: torch.Generator, picture: NDArray[np.uint8]) -> None:
    with without_package_init():
        from controlnet_aux.mlsd.utils import pred_lines
    # A network of one layer: centres, then x and y of both ends, at half the size.
    network = torch.nn.Conv2d(4, 5, 2, stride=2)
    network.weight.data.normal_(std=4, generator=generator)
    square = picture[:, :SIDE_PX]
    numbers = []
    for thresholds in ((0.1, 0.1), (0.9, 0.1), (0.1, 6.0)):
        expected = pred_lines(square, network, [SIDE_PX, SIDE_PX], *thresholds)
        np.testing.assert_array_equal(find_segments(network, square, *thresholds), expected.astype(int))
        numbers.append(len(expected))
    assert min(numbers[1:]) > 0 and max(numbers[1:]) < numbers[0]


def test_a_pose_is_drawn_in_controlnets_colours(monkeypatch: pytest.MonkeyPatch, annotators: Path) -> None:
    with without_package_init(), silenced():
        from controlnet_aux.open_pose.body import Body

    def two_joints(body: Any, image: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
        height, width = image.shape[:2]
        candidate = np.array([[width / 2, 0, 1, 0], [width / 2, height - 1, 1, 1]])
        return candidate, np.array([[0, 1, *[-1] * 16, 2.0, 2]])

    monkeypatch.setattr(Body, "__call__", two_joints)
    [drawn] = load("openpose", annotators)([np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)])
    # The nose is red; the limb from neck to nose has the 13th of the colours, dimmed.
    assert drawn[0, SIDE_PX // 2].tolist() == [255, 0, 0]
    assert drawn[SIDE_PX // 2, SIDE_PX // 2].tolist() == [0, 0, 153]


def test_missing_weights_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    said = rf"'hed' needs ControlNetHED.pth, missing in {tmp_path}.*hf download lllyasviel/Annotators"
    with pytest.raises(CheckpointError, match=said + r" ControlNetHED.pth .*conditions.hed.model"):
        load("hed", tmp_path)
    with pytest.raises(CheckpointError, match=r"body_pose_model.pth, hand_pose_model.pth, facenet.pth"):
        load("openpose", tmp_path, hands_and_face=True)


def test_the_hub_is_asked_for_these_files_at_this_commit(
    monkeypatch: pytest.MonkeyPatch, annotators: Path
) -> None:
    asked: list[tuple[str, str, list[str]]] = []

    def snapshot(name: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        if revision == "1" * 40:
            raise OSError("no network\nand more")
        return str(annotators)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    load("hed", f"someone/weights@{'0' * 40}")
    assert asked == [("someone/weights", "0" * 40, ["ControlNetHED.pth"])]
    with pytest.raises(CheckpointError, match=r"\(no network\).*hf download someone/weights --revision 1111"):
        load("hed", f"someone/weights@{'1' * 40}")
    with pytest.raises(
        CheckpointError, match=r"^conditions\.hed\.model \(someone/weights@v2\).*by its commit"
    ):
        load("hed", "someone/weights@v2")


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("forced", [False, True])
def test_weights_that_could_run_code_are_refused_unrun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, forced: bool
) -> None:
    if forced:  # the environment asks torch to unpickle anything
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"weight": Touch(tmp_path / "ran")}, tmp_path / "ControlNetHED.pth")
    with pytest.raises(CheckpointError, match=r"ControlNetHED\.pth.*as tensors alone"):
        load("hed", tmp_path)
    (tmp_path / "ControlNetHED.pth").write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    with pytest.raises(CheckpointError, match=r"ControlNetHED\.pth.*as tensors alone"):
        load("hed", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network_are_refused(annotators: Path, tmp_path: Path) -> None:
    (tmp_path / "ControlNetHED.pth").symlink_to(annotators / "sk_model.pth")
    with pytest.raises(CheckpointError, match="does not hold the weights of the network for condition 'hed'"):
        load("hed", tmp_path)


@pytest.mark.parametrize("damage", ["nan", "whole"])
def test_values_that_are_no_numbers_are_refused(annotators: Path, tmp_path: Path, damage: str) -> None:
    file = "ControlNetHED.pth"
    state = torch.load(annotators / file, weights_only=True)
    state["norm"] = state["norm"].long() if damage == "whole" else state["norm"] + torch.nan
    torch.save(state, tmp_path / file)
    with pytest.raises(
        CheckpointError, match=rf"{file}, weights for condition 'hed', must hold finite.* norm"
    ):
        load("hed", tmp_path)


def test_weights_that_a_network_has_no_place_for_are_refused(annotators: Path, tmp_path: Path) -> None:
    file = "body_pose_model.pth"
    state = torch.load(annotators / file, weights_only=True)
    torch.save(state | {"of.another": torch.zeros(2)}, tmp_path / file)
    with pytest.raises(CheckpointError, match=rf"{file} must .* 1 unexpected: of\.another; download"):
        load("openpose", tmp_path)


def test_conditions_are_imported_without_any_heavy_package() -> None:
    code = "import oft.conditions, sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "cv2", "controlnet_aux", "transformers", "huggingface_hub", "scipy"}


def test_one_annotator_is_imported_without_the_others_and_without_warnings() -> None:
    code = (
        "import sys; from oft.conditions.annotators import without_package_init\n"
        "with without_package_init(): from controlnet_aux.hed import HEDdetector\n"
        "print(*[name for name in sys.modules if name.startswith('controlnet_aux')])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["controlnet_aux.util", "controlnet_aux.hed"], done.stderr
