from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oft.adapters.hint.encoder import (
    SD_WIDTHS,
    HintEncoder,
    attach_hint,
    detach_hint,
    hinted,
    proportional_widths,
)
from oft.errors import ParamsError


class Stub(nn.Module):
    """The beginning of a UNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(4, 8, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        y: Tensor = self.conv_in(latents).tanh()
        return y


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def encoder(generator: torch.Generator) -> HintEncoder:
    encoder = HintEncoder(out_channels=8, block_out_channels=(4, 4, 6, 6, 6, 6, 8), generator=generator)
    nn.init.normal_(encoder.convs[-1].weight, generator=generator)  # type: ignore[arg-type]
    return encoder


@pytest.fixture
def latents(generator: torch.Generator) -> Tensor:
    return torch.randn(2, 4, 8, 8, generator=generator)


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=generator)


def test_the_encoder_is_controlnets(generator: torch.Generator) -> None:
    encoder = HintEncoder(generator=generator)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 1_086_480
    convs = [conv for conv in encoder.convs if isinstance(conv, nn.Conv2d)]
    assert [conv.in_channels for conv in convs] == [3, 16, 16, 32, 32, 96, 96, 256]
    assert [conv.out_channels for conv in convs] == [16, 16, 32, 32, 96, 96, 256, 320]
    assert [conv.stride[0] for conv in convs] == [1, 1, 2, 1, 2, 1, 2, 1]


@pytest.mark.parametrize("out_channels", [32, 96, 128, 192, 640])
def test_a_narrow_unets_encoder_has_the_share_of_stable_diffusions(out_channels: int) -> None:
    """Widths go with the UNet's, so that weights of both go with the square."""
    encoder = HintEncoder(out_channels=out_channels, generator=torch.Generator())
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert 0.8 < count / (1_086_480 * (out_channels / 320) ** 2) < 1.3
    assert proportional_widths(320) == SD_WIDTHS
    assert all(width % 4 == 0 for width in proportional_widths(out_channels))


def test_an_untrained_encoder_hands_the_condition_on_to_its_last_convolution(
    generator: torch.Generator,
) -> None:
    """What the zero convolution sees differs between two conditions about as much as the conditions do."""
    encoder = HintEncoder(generator=generator)
    seen: list[Tensor] = []
    encoder.convs[-1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    palettes = torch.rand(2, 3, 1, 1, generator=generator).expand(2, 3, 64, 64)
    encoder(palettes)
    difference = (seen[0][0] - seen[0][1]).square().mean().sqrt()
    assert 0.2 < difference / (palettes[0] - palettes[1]).square().mean().sqrt() < 5


def test_the_features_are_an_eighth_of_the_images_size(encoder: HintEncoder) -> None:
    assert encoder(torch.zeros(2, 3, 64, 48)).shape == (2, 8, 8, 6)


def test_initialisation_draws_from_its_generator_alone() -> None:
    state = torch.get_rng_state()
    first, same, other = (HintEncoder(generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
        assert torch.equal(value, other.state_dict()[name]) is (
            name.startswith("convs.7.") or name.endswith("bias")
        )


def test_an_untrained_encoder_changes_no_bit(
    stub: Stub, latents: Tensor, images: Tensor, generator: torch.Generator
) -> None:
    before = stub(latents)
    encoder = HintEncoder(out_channels=8, generator=generator)
    attach_hint(stub, encoder)
    with hinted(stub, encoder(images)):
        assert torch.equal(stub(latents), before)


def test_the_features_are_added_to_conv_in(
    stub: Stub, encoder: HintEncoder, latents: Tensor, images: Tensor
) -> None:
    attach_hint(stub, encoder)
    features = encoder(images)
    with hinted(stub, features):
        expected = (F.conv2d(latents, stub.conv_in.weight, stub.conv_in.bias, padding=1) + features).tanh()
        assert torch.equal(stub(latents), expected)


def test_guidance_doubling_is_exact(
    stub: Stub, encoder: HintEncoder, latents: Tensor, images: Tensor
) -> None:
    attach_hint(stub, encoder)
    features = encoder(images)
    other = latents.flip(0) * 2
    with hinted(stub, features):
        together = stub(torch.cat([latents, other]))
        apart = torch.cat([stub(latents), stub(other)])
    with hinted(stub, features.repeat(2, 1, 1, 1)):
        repeated = stub(torch.cat([latents, other]))
    torch.testing.assert_close(together, apart)
    assert torch.equal(together, repeated)


def test_the_encoder_learns_through_the_hint(
    stub: Stub, encoder: HintEncoder, latents: Tensor, images: Tensor
) -> None:
    attach_hint(stub, encoder)
    with hinted(stub, encoder(images)):
        stub(latents).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.parameters())


def test_blocks_nest_and_none_means_no_signal(
    stub: Stub, encoder: HintEncoder, latents: Tensor, images: Tensor
) -> None:
    plain = stub(latents)
    attach_hint(stub, encoder)
    with hinted(stub, encoder(images)):
        seen = stub(latents)
        with hinted(stub, None):
            assert torch.equal(stub(latents), plain)
        assert torch.equal(stub(latents), seen)
    assert not torch.allclose(seen, plain)


def test_a_forgotten_hint_is_refused(stub: Stub, encoder: HintEncoder, latents: Tensor) -> None:
    attach_hint(stub, encoder)
    with pytest.raises(RuntimeError, match=r"inside `with hinted\(unet, features\):`"):
        stub(latents)
    with pytest.raises(KeyError), hinted(stub, None):
        raise KeyError
    with pytest.raises(RuntimeError, match="inside"):
        stub(latents)


def test_detaching_gives_the_unet_back(stub: Stub, encoder: HintEncoder, latents: Tensor) -> None:
    before, names = stub(latents), list(stub.state_dict())
    attach_hint(stub, encoder)
    assert detach_hint(stub) is encoder
    assert torch.equal(stub(latents), before) and list(stub.state_dict()) == names
    with pytest.raises(ParamsError, match="has no hint encoder"), hinted(stub, None):
        pass


@pytest.mark.parametrize("shape", [(3, 8, 8, 8), (2, 8, 4, 4), (2, 4, 8, 8)])
def test_features_that_do_not_fit_are_refused(
    stub: Stub, encoder: HintEncoder, latents: Tensor, shape: tuple[int, ...]
) -> None:
    attach_hint(stub, encoder)
    with hinted(stub, torch.zeros(shape)), pytest.raises(ParamsError, match="divides its batch"):
        stub(latents)


def test_what_cannot_be_attached_is_refused(stub: Stub, encoder: HintEncoder) -> None:
    with pytest.raises(ParamsError, match="Linear has none"):
        attach_hint(nn.Linear(1, 1), encoder)
    with pytest.raises(ParamsError, match=r"out_channels \(9\) must be those of the UNet's conv_in \(8\)"):
        attach_hint(stub, HintEncoder(out_channels=9, generator=torch.Generator()))
    attach_hint(stub, encoder)
    with pytest.raises(ParamsError, match="has one already"):
        attach_hint(stub, encoder)
