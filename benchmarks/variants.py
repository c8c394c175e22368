"""What is compared: the frozen base, this project's OFT and PEFT's adapters, all on the same layers."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from oft.adapters import UNET_CONTROL_TARGETS, OFTAdapter, OFTConfig, inject_oft
from oft.adapters.oft.layers import AdaptedLinear

BLOCK_SIZE = 32
LORA_RANK = 16
NEUMANN_TERMS = 5
INITIAL_STD = 1e-3
BOFT_PRODUCTS = 3  # the permutation on either side of the rotation, and the identity it starts from


@dataclass(frozen=True)
class Variant:
    """One way to adapt a frozen network.

    Attributes:
        name: what ``--variants`` knows it by.
        title: what tables call it.
        adapt: puts the adapter on a frozen network; exactly what is trained requires a gradient then.
        merged: the adapter is put into the weights, for inference.
        in_inference: it takes part in the cases of inference as well.
        dense_products: products of dense in × in matrices that every adapted layer takes in each direction,
            however few tokens there are.
    """

    name: str
    title: str
    adapt: Callable[[nn.Module], None]
    merged: bool = False
    in_inference: bool = False
    dense_products: int = 0


FROZEN = Variant("frozen", "frozen base", lambda network: None, in_inference=True)


def all_variants() -> list[Variant]:
    """Return every variant, the frozen base first."""
    return [
        FROZEN,
        Variant("oft-r4", "OFT, r = 4", _oft(num_blocks=4), in_inference=True),
        Variant("oft-r4-merged", "OFT, r = 4, merged", _oft(num_blocks=4), merged=True, in_inference=True),
        Variant("peft-oft-r4", "PEFT OFT exact, r = 4", _peft_oft(r=4), in_inference=True),
        Variant(
            "peft-oft-r4-neumann",
            f"PEFT OFT Neumann {NEUMANN_TERMS}, r = 4",
            _peft_oft(r=4, neumann=True),
            in_inference=True,
        ),
        Variant("peft-boft-r4", "PEFT BOFT, 4 blocks", _peft_boft(num=4), dense_products=BOFT_PRODUCTS),
        Variant("oft-r8", "OFT, r = 8", _oft(num_blocks=8)),
        Variant("peft-oft-r8", "PEFT OFT exact, r = 8", _peft_oft(r=8)),
        Variant(
            "peft-oft-r8-neumann", f"PEFT OFT Neumann {NEUMANN_TERMS}, r = 8", _peft_oft(r=8, neumann=True)
        ),
        Variant("oft-b32", f"OFT, blocks of {BLOCK_SIZE}", _oft(block_size=BLOCK_SIZE)),
        Variant("peft-oft-b32", f"PEFT OFT exact, blocks of {BLOCK_SIZE}", _peft_oft(block_size=BLOCK_SIZE)),
        Variant(
            "peft-oft-b32-neumann",
            f"PEFT OFT Neumann {NEUMANN_TERMS}, blocks of {BLOCK_SIZE}",
            _peft_oft(block_size=BLOCK_SIZE, neumann=True),
        ),
        Variant(
            "peft-boft-b32",
            f"PEFT BOFT, blocks of {BLOCK_SIZE}",
            _peft_boft(size=BLOCK_SIZE),
            dense_products=BOFT_PRODUCTS,
        ),
        Variant("lora-r16", f"PEFT LoRA, rank {LORA_RANK}", _adapt_with_lora, in_inference=True),
    ]


def variants_for(training: bool, chosen: list[Variant]) -> list[Variant]:
    """Return those of ``chosen`` that fit training steps, or those that take part in inference."""
    return [variant for variant in chosen if (not variant.merged if training else variant.in_inference)]


def make_adapted(variant: Variant, frozen: nn.Module) -> nn.Module:
    """Return an adapted copy of a frozen network that shares its weights' memory.

    Trained parameters are moved off their initial values by N(0, 1e-3²): nothing is measured at an identity
    that an implementation might skip, and every one of them gets a gradient (LoRA's A gets none while its
    B is zero).
    """
    network = weight_sharing_copy(frozen)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # PEFT's initialisers draw from the global generator
        variant.adapt(network)
    device = next(frozen.parameters()).device
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in trained_parameters(network):
            noise = torch.empty_like(parameter).normal_(std=INITIAL_STD, generator=generator)
            parameter.add_(noise)
    if variant.merged:
        adapter = network.get_submodule(OFTAdapter.kind)
        assert isinstance(adapter, OFTAdapter)
        adapter.merge()
    return network


def weight_sharing_copy(network: nn.Module) -> nn.Module:
    """Return a copy whose parameters and buffers are objects of their own on the same memory.

    A copy may replace them, freeze them or point them elsewhere (as merging does) without the other noticing;
    only a write in place would show in both.
    """
    memo: dict[int, Any] = {}
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        alias = tensor.detach()
        if isinstance(tensor, nn.Parameter):
            alias = nn.Parameter(alias, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = alias
    return copy.deepcopy(network, memo)


def trained_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that require a gradient."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def count_adapted_layers(network: nn.Module) -> int:
    """Return the number of layers that carry an adapter, ours or PEFT's."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return sum(isinstance(module, (AdaptedLinear, BaseTunerLayer)) for module in network.modules())


def _oft(num_blocks: int | None = None, block_size: int | None = None) -> Callable[[nn.Module], None]:
    def adapt(network: nn.Module) -> None:
        inject_oft(network, OFTConfig(UNET_CONTROL_TARGETS, num_blocks=num_blocks, block_size=block_size))

    return adapt


def _peft_oft(r: int = 0, block_size: int = 0, neumann: bool = False) -> Callable[[nn.Module], None]:
    def adapt(network: nn.Module) -> None:
        from peft import OFTConfig as PeftOFTConfig
        from peft import inject_adapter_in_model

        config = PeftOFTConfig(
            r=r,
            oft_block_size=block_size,
            target_modules=list(UNET_CONTROL_TARGETS),
            use_cayley_neumann=neumann,
            num_cayley_neumann_terms=NEUMANN_TERMS,
        )
        inject_adapter_in_model(config, network)

    return adapt


def _peft_boft(num: int = 0, size: int = 0) -> Callable[[nn.Module], None]:
    # One butterfly factor: a single block-diagonal rotation as in OFT, full matrices instead of triangles as
    # parameters and a scale per output. More factors need PEFT's CUDA extension.
    def adapt(network: nn.Module) -> None:
        from peft import BOFTConfig, inject_adapter_in_model

        config = BOFTConfig(
            boft_block_num=num,
            boft_block_size=size,
            boft_n_butterfly_factor=1,
            target_modules=list(UNET_CONTROL_TARGETS),
        )
        with _no_extension_off_cuda(next(network.parameters()).device):
            inject_adapter_in_model(config, network)

    return adapt


def _adapt_with_lora(network: nn.Module) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=LORA_RANK, lora_alpha=LORA_RANK, target_modules=list(UNET_CONTROL_TARGETS))
    inject_adapter_in_model(config, network)


@contextmanager
def _no_extension_off_cuda(device: torch.device) -> Iterator[None]:
    """Keep PEFT from compiling BOFT's CUDA extension, once for every layer, where it could not run."""
    from peft.tuners.boft import layer as imported

    layer: Any = imported
    found = layer._FBD_CUDA
    if device.type != "cuda":
        layer._FBD_CUDA = False
    try:
        yield
    finally:
        layer._FBD_CUDA = found
