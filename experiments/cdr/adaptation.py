"""One network: pretrained, or one arm's training on another equation and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.cdr.equation import Equation
from experiments.cdr.network import PINN, reference_for
from experiments.cdr.protocol import PRETRAINED, SCRATCH, Protocol, adapter_settings
from experiments.cdr.training import Schedule, train_steps
from oft.adapters.full.method import FullSettings
from oft.adapters.protocol import Adapter
from oft.adapters.registry import create_adapter
from oft.seeding import generator_for


class Score(NamedTuple):
    """A number of a training: ``setting`` is ``step=N`` on the way and empty at the end."""

    setting: str
    metric: str
    value: float


def new_network(protocol: Protocol, *seed: int | str) -> PINN:
    """Return an untrained network, its weights drawn by ``seed``."""
    return PINN(protocol.width, protocol.num_hidden, generator_for(*seed, "weights"))


def pretrain(protocol: Protocol, seed: int) -> dict[str, Tensor]:
    """Return the weights of a network trained on `PRETRAINED`."""
    network = new_network(protocol, seed)
    adapter = create_adapter(
        network, FullSettings(method="full"), with_condition=False, generator=torch.Generator()
    )
    schedule = _schedule(protocol, protocol.pretrain_rate, protocol.pretrain_steps)
    for _ in train_steps(network, PRETRAINED, adapter, schedule, seed, "pretraining"):
        pass
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def put_arm(
    arm: str, protocol: Protocol, seed: int, pretrained: Mapping[str, Tensor]
) -> tuple[PINN, Adapter | None]:
    """Return the network that an arm starts from, and its adapter, at the identity, on it.

    Args:
        pretrained: what `pretrain` returned for the seed.
    """
    network = new_network(protocol, seed, *([SCRATCH] if arm == SCRATCH else []))
    if arm != SCRATCH:
        network.load_state_dict(pretrained)
    settings = adapter_settings(arm, network.hidden_names())
    if settings is None:
        return network, None
    # Points of all arms follow from the seed; what an adapter draws at its start is its own.
    generator = generator_for(seed, arm, "adapter")
    return network, create_adapter(network, settings, with_condition=False, generator=generator)


def adapt(
    arm: str,
    equation: Equation,
    seed: int,
    pretrained: Mapping[str, Tensor],
    protocol: Protocol,
    learning_rate: float | None,
) -> list[Score]:
    """Train an arm on an equation and return its scores; those at the end are of the merged network.

    Args:
        learning_rate: None for the pretrained network alone, which is not trained.
    """
    network, adapter = put_arm(arm, protocol, seed, pretrained)
    reference = reference_for(equation, protocol.grid_points, protocol.grid_slices)
    scores = []
    if adapter is not None:
        assert learning_rate is not None
        on_the_way = protocol.curve_steps()
        scores.append(Score("step=0", "relative_l2", reference.errors(network).relative_l2))
        # Tuners of PEFT are seeded through torch's own generator.
        with torch.random.fork_rng(devices=[]):
            schedule = _schedule(protocol, learning_rate, protocol.steps)
            for step in train_steps(network, equation, adapter, schedule, seed, equation.name):
                if step in on_the_way:
                    error = reference.errors(network).relative_l2
                    scores.append(Score(f"step={step}", "relative_l2", error))
    with nullcontext() if adapter is None else adapter.merging():
        errors = reference.errors(network)
        old = reference_for(PRETRAINED, protocol.grid_points, protocol.grid_slices).errors(network)
    scores += [
        Score("", "relative_l2", errors.relative_l2),
        Score("", "max_error", errors.maximum),
        Score("", "trained_parameters", float(count_trained(adapter))),
    ]
    # From a random start there is nothing to forget.
    return scores if arm == SCRATCH else [*scores, Score("", "forgetting", old.relative_l2)]


def count_trained(adapter: Adapter | None) -> int:
    """Return how many numbers are trained."""
    return 0 if adapter is None else sum(value.numel() for value in adapter.trained_parameters().values())


def _schedule(protocol: Protocol, learning_rate: float, num_steps: int) -> Schedule:
    return Schedule(learning_rate, num_steps, protocol.num_points, protocol.num_initial)
