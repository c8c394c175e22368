"""The autoencoder: its shapes, its forms, and where its randomness comes from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from experiments.angles.activations import FORMS
from experiments.angles.autoencoder import Autoencoder


def test_codes_have_an_eighth_of_the_side_and_pictures_come_back_whole(generator: torch.Generator) -> None:
    autoencoder = Autoencoder(generator)
    codes = autoencoder.encode(torch.randn(2, 3, 32, 24, generator=generator))
    assert codes.shape == (2, 64, 4, 3)
    assert autoencoder.decode(codes).shape == (2, 3, 32, 24)


def test_full_codes_are_those_of_plain_convolutions_without_biases(generator: torch.Generator) -> None:
    autoencoder = Autoencoder(generator)
    x = torch.randn(2, 3, 32, 32, generator=generator)
    expected = x
    for place, layer in enumerate(autoencoder.encoder):
        assert isinstance(layer, nn.Conv2d) and layer.bias is None
        expected = layer(F.relu(expected) if place else expected)
    torch.testing.assert_close(autoencoder.encode(x), expected)


def test_each_layer_gets_what_the_layer_before_made_in_its_form(generator: torch.Generator) -> None:
    autoencoder = Autoencoder(generator)
    x = torch.randn(2, 3, 32, 32, generator=generator)
    scales = [torch.rand(width, 1, 1, generator=generator) for width in (16, 32, 64)]
    for form in FORMS:
        first = autoencoder.activate(0, x, form) * scales[0]
        second = autoencoder.activate(1, first.relu(), form) * scales[1]
        third = autoencoder.activate(2, second.relu(), form) * scales[2]
        torch.testing.assert_close(autoencoder.encode(x, form, scales), third)


def test_the_generator_alone_decides_the_weights() -> None:
    before = torch.get_rng_state()
    states = [Autoencoder(torch.Generator().manual_seed(seed)).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["encoder.0.weight"], states[2]["encoder.0.weight"])
