"""Activations taken apart: angle and magnitude against explicit windows, and what each is blind to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.angles.activations import FORMS, Form, activate, filter_norms, window_norms

GEOMETRIES = [(4, 2, 1), (3, 1, 1), (3, 2, 0), (1, 1, 0), (5, 3, 2)]
"""Kernel size, stride, padding."""


def draw(generator: torch.Generator, kernel_size: int) -> tuple[Tensor, Tensor]:
    """Return a weight [5, 3, k, k] and an input [2, 3, 12, 10], in double precision."""
    weight = torch.randn(5, 3, kernel_size, kernel_size, generator=generator, dtype=torch.float64)
    return weight, torch.randn(2, 3, 12, 10, generator=generator, dtype=torch.float64)


def windows(x: Tensor, kernel_size: int, stride: int, padding: int) -> Tensor:
    """Return every window of x as a vector, [n, places, 3 k k]."""
    return F.unfold(x, kernel_size, stride=stride, padding=padding).transpose(1, 2)


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), GEOMETRIES)
def test_window_norms_are_those_of_the_windows_cut_out(
    generator: torch.Generator, kernel_size: int, stride: int, padding: int
) -> None:
    _, x = draw(generator, kernel_size)
    norms = window_norms(x, kernel_size, stride=stride, padding=padding)
    expected = windows(x, kernel_size, stride, padding).norm(dim=-1)
    torch.testing.assert_close(norms.flatten(2).squeeze(1), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), GEOMETRIES)
def test_the_angle_is_the_cosine_of_each_filter_and_each_window(
    generator: torch.Generator, kernel_size: int, stride: int, padding: int
) -> None:
    weight, x = draw(generator, kernel_size)
    cosines = activate(weight, x, stride=stride, padding=padding, form="angle")
    cut_out = windows(x, kernel_size, stride, padding)
    expected = F.cosine_similarity(cut_out[:, :, None], weight.flatten(1)[None, None], dim=-1)
    torch.testing.assert_close(cosines.flatten(2).transpose(1, 2), expected, rtol=1e-12, atol=1e-12)
    assert cosines.abs().max() <= 1 + 1e-12


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), GEOMETRIES)
def test_the_full_activation_is_angle_times_magnitude(
    generator: torch.Generator, kernel_size: int, stride: int, padding: int
) -> None:
    weight, x = draw(generator, kernel_size)
    full, angle, magnitude = (
        activate(weight, x, stride=stride, padding=padding, form=form) for form in FORMS
    )
    torch.testing.assert_close(angle * magnitude, full, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(full, F.conv2d(x, weight, stride=stride, padding=padding), rtol=0, atol=0)


def test_the_angle_ignores_the_lengths_of_weights_and_input(generator: torch.Generator) -> None:
    weight, x = draw(generator, 4)
    lengths = torch.rand(5, 1, 1, 1, generator=generator, dtype=torch.float64) + 0.1
    cosines = activate(weight, x, stride=2, padding=1, form="angle")
    scaled = activate(lengths * weight, 7.5 * x, stride=2, padding=1, form="angle")
    torch.testing.assert_close(scaled, cosines, rtol=1e-12, atol=1e-12)


def test_the_magnitude_ignores_where_weights_and_input_point(generator: torch.Generator) -> None:
    weight, x = draw(generator, 4)
    signs = torch.randint(0, 2, x.shape, generator=generator) * 2.0 - 1
    turned = weight.flip(1, 2, 3)
    assert not torch.allclose(
        activate(turned, signs * x, stride=2, padding=1, form="full"),
        activate(weight, x, stride=2, padding=1, form="full"),
    )
    torch.testing.assert_close(
        activate(turned, signs * x, stride=2, padding=1, form="magnitude"),
        activate(weight, x, stride=2, padding=1, form="magnitude"),
        rtol=1e-12,
        atol=1e-12,
    )


def test_filter_norms_are_those_of_the_neurons(generator: torch.Generator) -> None:
    weight, _ = draw(generator, 4)
    torch.testing.assert_close(filter_norms(weight).flatten(), weight.flatten(1).norm(dim=1))


@pytest.mark.parametrize("form", FORMS)
def test_an_input_of_zeros_gives_zeros(generator: torch.Generator, form: Form) -> None:
    weight, x = draw(generator, 3)
    assert torch.equal(
        activate(weight, 0 * x, stride=1, padding=1, form=form),
        torch.zeros(2, 5, 12, 10, dtype=torch.float64),
    )
