"""What is compared: the head alone, and adapters of the project's registry on the same layers of a BERT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oft.adapters.oft.targets import find_targets
from oft.adapters.registry import BASE_ALONE, METHODS, create_adapter
from oft.errors import ParamsError
from oft.seeding import generator_for

if TYPE_CHECKING:
    from torch import nn

    from oft.adapters.protocol import Adapter

TARGETS = ["query", "key", "value", "dense"]
"""Endings of the adapted layers: the six linears of each block, four of attention, two of feed-forward."""

_ROTATIONS: dict[str, Any] = {"method": "oft", "block_size": 32, "target_modules": TARGETS}
_TUNER: dict[str, Any] = {"method": "peft", "target_modules": TARGETS}

ARMS: dict[str, Mapping[str, Any] | None] = {
    BASE_ALONE: None,
    "oft": _ROTATIONS,
    "coft": {**_ROTATIONS, "coft": True, "eps": 1e-3},
    "lora": {**_TUNER, "type": "LORA", "r": 8, "lora_alpha": 8},
    "boft": {**_TUNER, "type": "BOFT", "boft_block_size": 8, "boft_n_butterfly_factor": 2},
    "full": {"method": "full"},
}
"""Settings of each adapter as in params.yaml; None is the head on the encoder as it is.

Of the pinned encoder rotations train 321,408 parameters, LoRA 331,776, BOFT 186,624 (scales of outputs among
them) and full finetuning 10,616,832. BOFT's butterflies are dense products in PEFT: a step takes seven times
as long as with rotations.
"""


@dataclass(frozen=True)
class Arm:
    """An adapter on an encoder.

    Attributes:
        adapter: None for the head alone.
        layers: names of the layers that every arm but the head alone changes.
        trained: what training moves of the encoder, by name.
    """

    adapter: Adapter | None
    layers: tuple[str, ...]
    trained: Mapping[str, nn.Parameter]


def check_arms(names: object) -> None:
    """Refuse names of no arm.

    Raises:
        ParamsError: there is one, or there are none or the same twice.
    """
    given = list(names) if isinstance(names, list | tuple) else []
    unknown = [name for name in given if name not in ARMS]
    if not given or unknown or len(set(given)) < len(given):
        raise ParamsError(
            f"adapters: must be some of {', '.join(ARMS)}, each once, and are {', '.join(given) or 'none'}"
        )


def put_on(model: nn.Module, name: str, seed: int) -> Arm:
    """Put the adapter called ``name`` on an encoder, which still computes what it did.

    ``full`` trains all entries of the very weights that the others change, and nothing else: embeddings,
    biases and norms stay the encoder's in every arm.

    Args:
        seed: what a tuner draws at its start follows from it.
    """
    layers = tuple(find_targets(model, TARGETS))
    settings = ARMS[name]
    if settings is None:
        return Arm(None, layers, {})
    typed = METHODS[settings["method"]].settings(**settings)
    adapter = create_adapter(model, typed, with_condition=False, generator=generator_for("text", seed, name))
    trained = adapter.trained_parameters()
    if name == "full":
        weights = {id(model.get_parameter(f"{layer}.weight")) for layer in layers}
        for parameter in trained.values():
            parameter.requires_grad_(id(parameter) in weights)
        trained = {key: parameter for key, parameter in trained.items() if parameter.requires_grad}
    return Arm(adapter, layers, trained)
