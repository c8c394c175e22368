"""A small model with attention-like names, a tiny UNet, and an implementation of OFT independent of ours."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oft.adapters.oft.module import OFTAdapter
from oft.params import Params
from tests.adapters import Saver, save_moved

MLP_TARGETS = ("to_q", "to_out.0")


class Mlp(nn.Module):
    """Two targets of different width (in_features 16 and 24) and a layer that stays out."""

    def __init__(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.to_q = nn.Linear(16, 24, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(24, 12)])
        self.head = nn.Linear(12, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=dtype) * 0.3

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(self.to_out[0](torch.tanh(self.to_q(x)))))
        return y

    def linear(self, name: str) -> nn.Linear:
        module = self.get_submodule(name)
        assert isinstance(module, nn.Linear)
        return module


@pytest.fixture
def mlp(generator: torch.Generator) -> Mlp:
    return Mlp(generator)


@pytest.fixture
def turn(generator: torch.Generator) -> Callable[[OFTAdapter, float], None]:
    """Returns a function that moves an adapter away from identity."""

    def apply(adapter: OFTAdapter, std: float = 0.2) -> None:
        with torch.no_grad():
            for packed in adapter.adapter_parameters():
                packed.copy_(torch.randn(packed.shape, generator=generator) * std)
        adapter.project()

    return apply


def naive_rotation(packed: Tensor, in_features: int) -> Tensor:
    """Dense block-diagonal R of (I - S)(I + S)⁻¹ by a general solver, one block at a time."""
    blocks = []
    for row in packed:
        size = next(b for b in range(2, 2000) if b * (b - 1) // 2 == len(row))
        upper = torch.zeros(size, size, dtype=packed.dtype)
        entries = iter(row)
        rows = [
            torch.stack([next(entries) if j > i else upper[i, j] for j in range(size)]) for i in range(size)
        ]
        skew = torch.stack(rows) - torch.stack(rows).T
        one = torch.eye(size, dtype=packed.dtype)
        blocks.append(torch.linalg.solve((one + skew).T, (one - skew).T).T)
    if len(blocks) == 1:
        blocks *= in_features // len(blocks[0])
    return torch.block_diag(*blocks)


def naive_forward(model: Mlp, packed: dict[str, Tensor], x: Tensor) -> Tensor:
    """The model's output with W Rᵀ in place of each target's W, by functional substitution."""
    weights = {}
    for name, value in packed.items():
        weight = model.linear(name).weight.detach().to(value.dtype)
        weights[f"{name}.weight"] = weight @ naive_rotation(value, weight.shape[1]).T
    result: Tensor = torch.func.functional_call(model, weights, (x,))
    return result


def tiny_unet(cross_attention_dim: int = 16, attention_head_dim: int = 8) -> Any:
    """A UNet of two levels with attention in each; its weights are drawn from the global generator."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=cross_attention_dim,
        attention_head_dim=attention_head_dim,
    )


@pytest.fixture(scope="session")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion XL of random weights, placed from one file as the stage ``base`` places it."""
    from safetensors.torch import save_file

    from oft.models.placing import place
    from oft.settings.training import Base
    from tests.oft.models.ldm_layout import checkpoint, read_configs, write_tiny_xl_configs

    folder = tmp_path_factory.mktemp("xl")
    configs = write_tiny_xl_configs(folder / "configs")
    file = folder / "tiny_xl.safetensors"
    save_file(checkpoint(read_configs(configs), torch.Generator().manual_seed(0)), file)
    place(
        Base(source=str(file), variant=None, config=str(configs), tokenizer=None, use_ema=True),
        folder / "base",
    )
    return folder / "base"


@pytest.fixture(scope="session")
def pristine_unet() -> Any:
    torch.manual_seed(0)
    return tiny_unet().eval()


@pytest.fixture
def unet(pristine_unet: Any) -> Any:
    return copy.deepcopy(pristine_unet)


@pytest.fixture
def unet_inputs(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, timesteps and encoder_hidden_states for two samples."""
    return (
        torch.randn(2, 4, 8, 8, generator=generator),
        torch.tensor([10, 700]),
        torch.randn(2, 6, 16, generator=generator),
    )


def cosines(weight: Tensor) -> Tensor:
    rows = F.normalize(weight.double(), dim=1)
    return rows @ rows.T


@pytest.fixture
def saved(base_folder: Path, params: Params, tmp_path: Path) -> Saver:
    """Saves an adapter, well away from the identity, by its name in params.yaml; the same each time."""

    def save(name: str, *, with_condition: bool = False, deviation: float = 2e-2, **changes: Any) -> Path:
        folder = tmp_path / f"{name}{'-shown' if with_condition else ''}"
        settings = params.adapters[name].model_copy(update=changes)
        save_moved(folder, base_folder, name, settings, with_condition=with_condition, deviation=deviation)
        return folder

    return save
