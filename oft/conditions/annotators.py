"""ControlNet's annotator networks, as the package controlnet_aux has them: found, checked, loaded, run.

Importing the package loads every network it has, takes ten seconds and warns of what is not installed; here
only the module of the network asked for is imported.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from oft.conditions.condition import BatchExtractor, Settings
from oft.errors import CheckpointError, first_line
from oft.models.hub import find_folder

PACKAGE = "controlnet_aux"


def load_annotator(
    condition: str, settings: Settings, files: Sequence[str], build: Callable[[Path], Any]
) -> Any:
    """Return what ``build`` makes of the folder with the weights, on the processor.

    Args:
        condition: its name, for messages.
        settings: ``model`` is a folder with the files, or the id of a model on the hub with its commit.
        files: names of the files of weights.
        build: imports a detector from controlnet_aux and loads it from the folder.

    Raises:
        CheckpointError: a file is missing, damaged, holds more than tensors or values that are no numbers, or
            belongs to another network.
    """
    model = settings["model"]
    folder = _find_weights(condition, model, files)
    for file in files:
        _check_weights(folder / file, condition)
    try:
        with without_package_init(), silenced():
            return build(folder)
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"{folder} does not hold the weights of the network for condition {condition!r}: "
            f"{first_line(error)}. {_remedy(condition, files)}"
        ) from error


def run_detector(detector: Any, side_px: int, **options: Any) -> BatchExtractor:
    """Return a function of a batch that runs one of controlnet_aux's detectors, see `resize_back`.

    Args:
        detector: what `load_annotator` returned.
        side_px: the shorter side of what the network sees.
        options: what each call of the detector gets beside.
    """

    def detect(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "new_h new_w 3"]:
        found: UInt8[np.ndarray, "new_h new_w 3"] = detector(
            picture, detect_resolution=side_px, image_resolution=side_px, output_type="np", **options
        )
        return found

    return resize_back(detect)


def resize_back(detect: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> BatchExtractor:
    """Return a function of a batch that runs ``detect`` picture by picture, as the annotators are written.

    Networks look at pictures of the size they were made for; what they find, uint8 [height, width, 3], is
    brought back to the size of the picture.
    """

    def extract(pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        return [resize(detect(picture), picture.shape[:2]) for picture in pictures]

    return extract


def resize(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, ...]) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """Return a picture at another height and width: areas averaged if smaller, linear if larger."""
    import cv2

    height, width = size
    smaller = height * width < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), dtype=np.uint8)


def _find_weights(condition: str, model: str, files: Sequence[str]) -> Path:
    folder = find_folder(model, files, f"conditions.{condition}.model")
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise CheckpointError(
            f"condition {condition!r} needs {', '.join(missing)}, missing in {folder}. "
            f"{_remedy(condition, files)}"
        )
    return folder


def _check_weights(path: Path, condition: str) -> None:
    """Refuse a file that could run code, or whose values are no numbers: controlnet_aux checks neither."""
    import torch

    from oft.weights import check_numbers

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's errors, zip's, OSError, EOFError ...
        raise CheckpointError(
            f"{path}, weights for condition {condition!r}, cannot be read as tensors alone: "
            f"{first_line(error)}. It is damaged or not what its name says; download it again"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):  # scannet.pt
        content = content["model"]
    tensors = content if isinstance(content, dict) else {}
    check_numbers(
        f"{path}, weights for condition {condition!r},",
        {
            name: value
            for name, value in tensors.items()
            if torch.is_tensor(value) and not name.endswith("num_batches_tracked")
        },
        "download it again",
    )


def _remedy(condition: str, files: Sequence[str]) -> str:
    return (
        f"On a machine with a network run `hf download lllyasviel/Annotators {' '.join(files)} --local-dir "
        f"annotators`, copy the folder here and set conditions.{condition}.model to its path"
    )


@contextmanager
def without_package_init() -> Iterator[None]:
    """Let modules of the package be imported without the package's own ``__init__``."""
    if PACKAGE in sys.modules:
        yield
        return
    spec = find_spec(PACKAGE)
    assert spec is not None, f"{PACKAGE} is a dependency of this project"
    sys.modules[PACKAGE] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[PACKAGE]


@contextmanager
def silenced() -> Iterator[None]:
    """Silence what the package says of itself while it loads."""
    with warnings.catch_warnings(), redirect_stdout(None):
        warnings.filterwarnings("ignore", ".*scipy.ndimage.filters", DeprecationWarning)  # its pose module
        warnings.filterwarnings("ignore", ".*torch.jit.script.* is deprecated", FutureWarning)  # its geffnet
        yield
