"""The whole experiment: train, scale each form, reconstruct the held-out pictures from each, score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from experiments.angles.activations import FORMS
from experiments.angles.pictures import PictureSets
from experiments.angles.reconstruction import calibrate, reconstruct
from experiments.angles.scores import correlation, psnr_db
from experiments.angles.training import to_tensor, train_autoencoder

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from oft.settings.evaluation import Angles

NUM_CALIBRATION_IMAGES = 256
DIGITS = 4


def run_experiment(
    sets: PictureSets, settings: Angles, device: str, generator: torch.Generator
) -> tuple[dict[str, float | int], UInt8[np.ndarray, "height width 3"]]:
    """Return flat metrics, and a grid: a row for each of a few held-out pictures; itself, then each form.

    The metrics are, of each form and of the mean of the training pictures (``mean_picture``), ``psnr_<form>``
    (dB) and ``correlation_<form>`` (-1 to 1), means over the held-out pictures; and the numbers of pictures.

    Args:
        generator: the only source of randomness, on the CPU.
    """
    autoencoder = train_autoencoder(sets.train, settings, device, generator)
    reference = to_tensor(evenly_spaced(sets.train, NUM_CALIBRATION_IMAGES), device)
    outputs: dict[str, np.ndarray] = {
        form: reconstruct(autoencoder, sets.held_out, form, calibrate(autoencoder, reference, form))
        for form in FORMS
    }
    mean_picture = sets.train.mean(axis=0).round().astype(np.uint8)
    compared = {**outputs, "mean_picture": np.broadcast_to(mean_picture, sets.held_out.shape)}
    metrics: dict[str, float | int] = {}
    for name, pictures in compared.items():
        metrics[f"psnr_{name}"] = round(psnr_db(pictures, sets.held_out), DIGITS)
        metrics[f"correlation_{name}"] = round(correlation(pictures, sets.held_out), DIGITS)
    metrics |= {
        "num_images": len(sets.held_out),
        "num_train_images": len(sets.train),
        "num_dropped_images": sets.num_dropped,
        "resolution_px": settings.resolution_px,
    }
    columns = [evenly_spaced(pictures, settings.num_rows) for pictures in (sets.held_out, *outputs.values())]
    return metrics, tile_columns(columns)


def evenly_spaced(pictures: UInt8[np.ndarray, "n h w 3"], number: int) -> UInt8[np.ndarray, "m h w 3"]:
    """Return at most ``number`` of the pictures, evenly spaced: data sets may be sorted by what they show."""
    places = np.linspace(0, len(pictures) - 1, min(number, len(pictures))).round().astype(int)
    return pictures[places]


def tile_columns(columns: list[UInt8[np.ndarray, "n h w 3"]]) -> UInt8[np.ndarray, "height width 3"]:
    """Return columns of equally many pictures of one size as one picture, without gaps."""
    return np.concatenate([np.concatenate(list(column), axis=0) for column in columns], axis=1)
