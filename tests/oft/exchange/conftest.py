"""The miniature base's UNet, an adapter of it with everything beside it, and the reference's weight anew."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oft.adapters.hint.encoder import HintEncoder, attach_hint, hinted
from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import inject_magnitude
from oft.adapters.oft.module import inject_oft
from oft.adapters.oft.saving import save_adapter
from oft.adapters.targets import UNET_CONTROL_TARGETS
from oft.exchange.bases import identify_base, load_unet

Inputs = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="session")
def pristine_unet(base_folder: Path) -> Any:
    return load_unet(base_folder)


@pytest.fixture
def unet(pristine_unet: Any) -> Any:
    return copy.deepcopy(pristine_unet)


@pytest.fixture
def unet_inputs(generator: torch.Generator) -> Inputs:
    """Latents, timesteps and encoder_hidden_states for two samples of the miniature base."""
    return (
        torch.randn(2, 16, 8, 8, generator=generator),
        torch.tensor([10, 700]),
        torch.randn(2, 6, 128, generator=generator),
    )


@pytest.fixture(scope="session")
def adapter_folder(pristine_unet: Any, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the miniature base away from identity, with magnitudes and a hint encoder."""
    generator = torch.Generator().manual_seed(1)
    unet, identity = copy.deepcopy(pristine_unet), identify_base(base_folder)
    adapter = inject_oft(unet, OFTConfig(UNET_CONTROL_TARGETS, num_blocks=8))
    encoder = HintEncoder(out_channels=128, block_out_channels=(4, 4, 4, 4, 4, 4, 4), generator=generator)
    attach_hint(unet, encoder)
    magnitude = inject_magnitude(unet, UNET_CONTROL_TARGETS)
    with torch.no_grad():
        for parameter in [*adapter.adapter_parameters(), *magnitude.adapter_parameters()]:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        for parameter in encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    folder = tmp_path_factory.mktemp("adapters") / "saved"
    save_adapter(folder, adapter, magnitude, encoder, base_hash=identity.hash, base_name=identity.name)
    return folder


@pytest.fixture
def loaded(adapter_folder: Path, unet: Any) -> OrthogonalAdapter:
    """The adapter, on ``unet``."""
    return OrthogonalAdapter.load(adapter_folder, unet)


def without_hint(unet: Any, inputs: Inputs) -> Tensor:
    """The output of a UNet with a hint encoder that is given no hint."""
    with hinted(unet, None), torch.no_grad():
        sample: Tensor = unet(*inputs).sample
    return sample


def output(unet: Any, inputs: Inputs) -> Tensor:
    with torch.no_grad():
        sample: Tensor = unet(*inputs).sample
    return sample


def linear_names(unet: nn.Module, endings: tuple[str, ...] = UNET_CONTROL_TARGETS) -> list[str]:
    return [name for name, _ in unet.named_modules() if name.endswith(endings)]


def reference_weight(
    weight: Tensor, raw: Tensor, *, flipped: bool, bound: float | None = None, scale: Tensor | None = None
) -> Tensor:
    """What the reference implementation multiplies by x: its Cayley transform, dense, in float64."""
    raw, weight = raw.double().reshape(-1, raw.shape[-1], raw.shape[-1]), weight.double()
    blocks = []
    for block in raw:
        norm = block.norm()
        if bound is not None and norm > bound:
            block = block / norm * bound
        skew = (block - block.T) / 2 * (-1 if flipped else 1)
        one = torch.eye(len(block), dtype=torch.float64)
        blocks.append((one - skew) @ torch.linalg.inv(one + skew))
    blocks *= weight.shape[1] // (len(blocks) * raw.shape[-1])
    rotated = (torch.block_diag(*blocks) @ weight.T).T
    return (rotated if scale is None else scale.double() * rotated).float()
