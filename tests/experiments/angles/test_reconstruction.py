"""The constants that bring each form to scale, and pictures drawn with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.angles.activations import FORMS, Form
from experiments.angles.autoencoder import Autoencoder
from experiments.angles.reconstruction import BATCH_SIZE, calibrate, channel_rms, reconstruct
from experiments.angles.training import to_pictures, to_tensor


@pytest.fixture
def autoencoder(generator: torch.Generator) -> Autoencoder:
    return Autoencoder(generator).requires_grad_(False)


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH_SIZE + 3, 16, 16, 3), dtype=np.uint8)


def feature_maps(autoencoder: Autoencoder, x: Tensor, form: Form, scales: list[Tensor]) -> list[Tensor]:
    found = []
    for layer, scale in enumerate(scales):
        x = autoencoder.activate(layer, x.relu() if layer else x, form) * scale
        found.append(x)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_channel_of_every_layer_has_the_size_it_had_in_training(
    autoencoder: Autoencoder, pictures: np.ndarray, form: Form
) -> None:
    x = to_tensor(pictures, "cpu")
    ones = [torch.ones(1)] * len(autoencoder.encoder)
    full = feature_maps(autoencoder, x, "full", ones)
    formed = feature_maps(autoencoder, x, form, calibrate(autoencoder, x, form))
    for one, other in zip(full, formed, strict=True):
        torch.testing.assert_close(channel_rms(other), channel_rms(one))


def test_the_full_activation_needs_no_scaling(autoencoder: Autoencoder, pictures: np.ndarray) -> None:
    for scale in calibrate(autoencoder, to_tensor(pictures, "cpu"), "full"):
        assert torch.equal(scale, torch.ones_like(scale))


def test_a_dead_channel_stays_dead(autoencoder: Autoencoder, pictures: np.ndarray) -> None:
    first = autoencoder.get_parameter("encoder.0.weight")
    first[3] = 0
    for form in FORMS:
        scales = calibrate(autoencoder, to_tensor(pictures, "cpu"), form)
        assert float(scales[0][3]) == 0 and all(scale.isfinite().all() for scale in scales)


def test_pictures_from_full_activations_are_the_autoencoders_own_whatever_the_batches(
    autoencoder: Autoencoder, pictures: np.ndarray
) -> None:
    scales = calibrate(autoencoder, to_tensor(pictures, "cpu"), "full")
    drawn = reconstruct(autoencoder, pictures, "full", scales)
    own = to_pictures(autoencoder(to_tensor(pictures, "cpu")))
    assert drawn.shape == pictures.shape
    assert np.abs(drawn.astype(int) - own).max() <= 1


def test_the_first_layers_angles_do_not_see_the_contrast(
    autoencoder: Autoencoder, pictures: np.ndarray
) -> None:
    """So nothing after it does: no length of the input leaks into what is drawn from angles."""
    x = to_tensor(pictures, "cpu")
    scales = calibrate(autoencoder, x, "angle")
    torch.testing.assert_close(
        autoencoder.encode(0.25 * x, "angle", scales), autoencoder.encode(x, "angle", scales)
    )
