"""What tests have ranks do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from oft.adapters.protocol import AdapterSettings
from oft.models.adapted import init_adapter
from oft.models.base import load_base
from oft.seeding import generator_for
from oft.settings.training import Optimization, Training
from oft.training.distributed import Ranks
from oft.training.loop import TrainingLoop
from oft.training.objective import Denoiser, TrainingSource, data_objective, validation_loss
from oft.training.run import Validation, Workplace, train_adapter
from tests.oft.training.conftest import training_set

Values = dict[str, Tensor]


class DoubleDenoiser(Denoiser):
    """Computes in float64, so that what is compared is the sum of the ranks and not how its terms round."""

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        encoder_hidden_states: Tensor,
        conditioning: Tensor | None,
        added: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        return super().forward(noisy.double(), timesteps, encoder_hidden_states.double(), conditioning, added)


def measure(
    ranks: Ranks, base_folder: Path, shards: Path, rotation: AdapterSettings, settings: Training
) -> tuple[float, Values, float]:
    """Return loss and gradients of one step with prior preservation, and the validation loss."""
    base = load_base(base_folder)
    for network in (base.unet, base.vae, base.text_encoder):
        network.double()
    encode = base.vae.encode
    base.vae.encode = lambda pictures: encode(pictures.double())
    loaded = init_adapter(base, rotation, with_condition=False, generator=generator_for(0))
    trained = loaded.trained_parameters()
    with torch.no_grad():
        for number, parameter in enumerate(trained.values()):
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator_for(number)))
    data = training_set(shards, with_condition=False)
    sources = [TrainingSource(data, "instance"), TrainingSource(data, "class", 0.5)]
    denoiser = DoubleDenoiser(base.unet)
    loss = 0.0
    for part in data_objective(base, denoiser, sources, settings, 0, ranks)(2):
        part.backward()
        loss += float(part.detach())
    ranks.average_gradients(trained.values())
    gradients = {
        name: parameter.grad.clone() for name, parameter in trained.items() if parameter.grad is not None
    }
    held_out = validation_loss(base, denoiser, data, 3, seed=1, rounds=2, ranks=ranks)
    return ranks.sum(loss) / ranks.num, gradients, held_out


def train(
    ranks: Ranks,
    base_folder: Path,
    shards: Path,
    rotation: AdapterSettings,
    settings: Training,
    scratch: Path,
    with_condition: bool,
    stop_at: int | None = None,
) -> tuple[Values, list[dict[str, float]]]:
    """Train an adapter and return how far each value has moved, and the log.

    ``stop_at`` breaks the first rank off after that step, as a kill would.
    """
    base = load_base(base_folder)
    loaded = init_adapter(base, rotation, with_condition=with_condition, generator=generator_for("init"))
    begun = {name: value.detach().clone() for name, value in loaded.trained_parameters().items()}
    drawn = iter(range(1, 1 + settings.max_train_steps))

    def draw_grid() -> Image.Image:
        if next(drawn) == stop_at:
            raise KeyboardInterrupt
        return Image.new("RGB", (8, 8))

    sources = [TrainingSource(training_set(shards, with_condition=with_condition), "instance")]
    if not with_condition:
        sources.append(TrainingSource(training_set(shards, with_condition=False), "class", 0.5))
    log = train_adapter(
        base,
        loaded,
        sources,
        settings,
        Workplace(scratch / "out" if ranks.first else None, scratch, scratch / "logs"),
        seed=1,
        name="ranks",
        validation=Validation(draw_grid, 1),
        ranks=ranks,
    )
    return {name: value.detach() - begun[name] for name, value in loaded.trained_parameters().items()}, log


def lose_a_number(ranks: Ranks, settings: Optimization, scratch: Path) -> None:
    """Train with a loss that is no number on the last rank alone."""
    weights = nn.Parameter(torch.ones(2))
    factor = float("nan") if ranks.rank == ranks.num - 1 else 1.0
    loop = TrainingLoop(
        Accelerator(cpu=True),
        {"weights": weights},
        lambda step: [weights.sum() * factor],
        settings,
        scratch=scratch,
        name="line",
        ranks=ranks,
    )
    loop.run(on_log=lambda row: None)


def talk(ranks: Ranks) -> dict[str, Any]:
    """Use each way in which ranks tell each other something."""
    values = [10 * place for place in range(6)][ranks.mine]
    weights = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))]
    for weight in weights[:2]:
        weight.grad = torch.full_like(weight, float(ranks.rank))
    ranks.average_gradients(weights)
    state = {"step": 3, "values": {"a": torch.arange(3.0)}, "log": [{"loss": 0.5}], "none": None}
    return {
        "gathered": ranks.gather(values),
        "sum": ranks.sum(0.1 * ranks.rank),
        "gradients": [None if weight.grad is None else weight.grad.unique().tolist() for weight in weights],
        "state": ranks.from_first(state if ranks.first else None),
        "nothing": ranks.from_first(None),
    }


def compare(ranks: Ranks, keys: list[str], num_here: int) -> None:
    """Give each rank a key of its own; so many of them share a machine."""
    replace(ranks, num_here=num_here).refuse_unequal(keys[ranks.rank])
