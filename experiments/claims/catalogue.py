"""The experiments: which runs of the pipeline each needs. A run that two of them need is made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from oft.adapters.registry import BASE_ALONE

if TYPE_CHECKING:
    from oft.params import Params

CONTROL_TASK = "segm_ade20k"
"""The task with a condition that settings are varied on."""

SUBJECT_TASK = "subject_robot_toy"
"""The subject that long trainings are made on."""

STEPS = (70, 140, 275)
"""Optimizer steps of shorter trainings; the profile's own training is the longest."""

BLOCKS = (2, 4, 8, 16)
"""The paper's r of OFT beside the profile's 1."""

RANKS = (14, 7, 4, 2)
"""Ranks of LoRA beside the profile's 28, each with about as many parameters as OFT with these `BLOCKS`."""

SHARES = (0.05, 0.2, 0.5)
"""Shares of the training pictures."""

LONG = (300, 900, 1800)
"""Optimizer steps of a subject's trainings at a constant rate: the profile's, three and six times it."""

EPS = (1e-6, 1e-4)
"""Radii of COFT beside the profile's 1e-5, in the reference's convention (`oft.adapters.oft.settings`)."""

LAYER_BLOCK = 32
"""Block size that divides the inputs of attention layers and of convolutions alike."""

LAYERS: Mapping[str, tuple[str, ...]] = {
    "attention": ("to_q", "to_k", "to_v", "to_out.0"),
    "convolution": ("conv1", "conv2"),
    "both": ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2"),
}
"""Endings of the names of layers that OFT turns."""

NO_CHANGE = ""
SHARED_BLOCKS = 4
SHARED = f"blocks={SHARED_BLOCKS}, shared"


def with_steps(steps: int) -> str:
    """Return how the table names trainings of so many steps."""
    return f"steps={steps}"


def with_blocks(num_blocks: int) -> str:
    """Return how the table names OFT with so many blocks."""
    return f"blocks={num_blocks}"


def with_rank(rank: int) -> str:
    """Return how the table names LoRA of a rank."""
    return f"rank={rank}"


def with_data(share: float) -> str:
    """Return how the table names trainings on a share of the pictures."""
    return f"data={share:.0%}"


def at_constant_rate(steps: int) -> str:
    """Return how the table names a subject's trainings of so many steps at a constant rate."""
    return f"constant rate, steps={steps}"


def with_eps(eps: float) -> str:
    """Return how the table names COFT with a radius in the longest of these trainings."""
    return f"eps={eps:g}, {at_constant_rate(LONG[-1])}"


def on_layers(name: str) -> str:
    """Return how the table names OFT on these `LAYERS`."""
    return f"layers={name}"


@dataclass(frozen=True)
class Setting:
    """What differs from the profile's settings.

    Attributes:
        label: how the table names it, ``what=value``; '' for nothing.
        changes: keys of params.yaml, joined with points, and their values.
    """

    label: str = NO_CHANGE
    changes: Mapping[str, Any] = field(default_factory=dict)


PROFILE = Setting()


@dataclass(frozen=True)
class Family:
    """Adapters on tasks under settings: each with each."""

    tasks: tuple[str, ...]
    adapters: tuple[str, ...]
    settings: tuple[Setting, ...] = (PROFILE,)


@dataclass(frozen=True)
class Experiment:
    """One question and the runs that answer it.

    Attributes:
        name: how the command calls it.
        question: in a few words, for ``--help``.
        families: its runs.
    """

    name: str
    question: str
    families: tuple[Family, ...]


def experiments(params: Params) -> tuple[Experiment, ...]:
    """Return the experiments of a profile: its tasks and adapters side by side first, then what is varied.

    Args:
        params: the profile's settings.
    """
    num_images = params.datasets[params.tasks[CONTROL_TASK].dataset].num_train_images
    compared = ("oft", "lora", "controlnet", "hint")
    return (
        Experiment("adapters", "every adapter on every task", _side_by_side(params)),
        Experiment(
            "steps",
            "how fast each learns",
            (_control(compared, *(_steps(params, steps) for steps in STEPS)),),
        ),
        Experiment(
            "capacity",
            "parameters against control: OFT's blocks, LoRA's rank",
            (
                _control(
                    ("oft",), *(Setting(with_blocks(r), {"adapters.oft.num_blocks": r}) for r in BLOCKS)
                ),
                _control(("lora",), *map(_rank, RANKS)),
            ),
        ),
        Experiment(
            "data",
            "how much data each needs",
            (_control(compared, *(_data(params, num_images, share) for share in SHARES)),),
        ),
        Experiment(
            "stability",
            "what too long a training does, and what COFT's radius does",
            (
                _subject(("oft", "coft", "lora", "dreambooth"), *map(_long, LONG)),
                _subject(("coft",), *map(_radius, EPS)),
            ),
        ),
        Experiment(
            "sharing",
            "one block for all of a layer",
            (
                _control(
                    ("oft",),
                    Setting(
                        SHARED,
                        {"adapters.oft.num_blocks": SHARED_BLOCKS, "adapters.oft.block_share": True},
                    ),
                ),
            ),
        ),
        Experiment(
            "layers",
            "attention, convolutions, both",
            (_control(("oft",), *(_layers(name, endings) for name, endings in LAYERS.items())),),
        ),
    )


def _side_by_side(params: Params) -> tuple[Family, ...]:
    """Return a family of each task: the first of each kind first, so that a part of a run has all kinds."""
    kinds = (
        (params.control_tasks, params.control_adapters),
        (params.subject_tasks, params.subject_adapters),
        (params.style_tasks, params.style_adapters),
    )
    of_kinds = ([Family((task,), (BASE_ALONE, *adapters)) for task in tasks] for tasks, adapters in kinds)
    return tuple(family for place in zip_longest(*of_kinds) for family in place if family is not None)


def _control(adapters: tuple[str, ...], *settings: Setting) -> Family:
    return Family((CONTROL_TASK,), adapters, settings)


def _subject(adapters: tuple[str, ...], *settings: Setting) -> Family:
    return Family((SUBJECT_TASK,), adapters, settings)


def _steps(params: Params, steps: int) -> Setting:
    """Return a whole training in fewer steps: its warm-up and its cosine are as much shorter."""
    warmup = round(params.train.warmup_steps * steps / params.train.max_train_steps)
    return Setting(with_steps(steps), {"train.max_train_steps": steps, "train.warmup_steps": warmup})


def _long(steps: int) -> Setting:
    changes = {"train_subject.max_train_steps": steps, "train_subject.schedule": "constant"}
    return Setting(at_constant_rate(steps), changes)


def _rank(rank: int) -> Setting:
    return Setting(with_rank(rank), {"adapters.lora.r": rank, "adapters.lora.lora_alpha": rank})


def _data(params: Params, num_images: int, share: float) -> Setting:
    dataset = params.tasks[CONTROL_TASK].dataset
    return Setting(with_data(share), {f"datasets.{dataset}.num_train_images": round(num_images * share)})


def _radius(eps: float) -> Setting:
    longest = _long(LONG[-1])
    return Setting(with_eps(eps), {**longest.changes, "adapters.coft.eps": eps})


def _layers(name: str, endings: tuple[str, ...]) -> Setting:
    return Setting(
        on_layers(name),
        {
            "adapters.oft.num_blocks": None,
            "adapters.oft.block_size": LAYER_BLOCK,
            "adapters.oft.target_modules": list(endings),
        },
    )
