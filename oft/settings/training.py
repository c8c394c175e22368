"""Settings of the base, the adapters and their training."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from oft.settings.section import (
    BatchSize,
    Name,
    NaturalInt,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Section,
    Share,
)

POLYNOMIAL_END_RATE = 1e-7
"""Where a polynomial schedule ends; diffusers' ``lr_end``."""


class Base(Section):
    """The checkpoint everything starts from."""

    source: str
    variant: Literal["fp16"] | None
    config: str
    tokenizer: str | None
    use_ema: bool


class Optimization(Section):
    """Optimization of one set of parameters."""

    max_train_steps: Annotated[int, Field(ge=1, le=10_000_000)]
    batch_size: BatchSize
    learning_rate: PositiveFloat
    scale_lr: bool
    schedule: Literal["constant", "linear", "polynomial", "cosine", "cosine_with_restarts"]
    lr_power: PositiveFloat
    lr_num_cycles: PositiveInt
    warmup_steps: NaturalInt
    adam_beta1: Annotated[float, Field(ge=0, lt=1)]
    adam_beta2: Annotated[float, Field(ge=0, lt=1)]
    adam_epsilon: PositiveFloat
    weight_decay: NonNegativeFloat
    max_grad_norm: PositiveFloat
    gradient_accumulation_steps: PositiveInt
    optimizer: Literal["adamw", "adamw8bit"]
    mixed_precision: Literal["fp32", "fp16", "bf16"]
    attention: Literal["auto", "sdpa", "xformers"]
    gradient_checkpointing: bool
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    prompt_dropout: Share
    snr_gamma: NonNegativeFloat
    offset_noise: Share
    shuffle_window_shards: NaturalInt
    checkpoint_every_steps: PositiveInt
    log_to: list[Literal["tensorboard", "wandb"]]

    def at_rate(self, learning_rate: float | None) -> Self:
        """Return these settings at another peak rate; at their own where it is None."""
        return self if learning_rate is None else self.model_copy(update={"learning_rate": learning_rate})

    @property
    def peak_learning_rate(self) -> float:
        """The rate after the warm-up: with ``scale_lr`` one for each picture of a step, summed over them.

        diffusers' trainers multiply by processes, batch size and accumulated batches; ``batch_size`` counts
        the pictures of all of them.
        """
        return self.learning_rate * self.batch_size if self.scale_lr else self.learning_rate

    @model_validator(mode="after")
    def _warmup_ends(self) -> Optimization:
        if self.warmup_steps >= self.max_train_steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be below max_train_steps ({self.max_train_steps})"
            )
        return self

    @model_validator(mode="after")
    def _polynomial_falls(self) -> Optimization:
        if self.schedule == "polynomial" and self.peak_learning_rate <= POLYNOMIAL_END_RATE:
            raise ValueError(
                f"learning_rate ({self.learning_rate}{', times batch_size' if self.scale_lr else ''}) must "
                f"be above {POLYNOMIAL_END_RATE}, where schedule polynomial ends; raise it or choose linear"
            )
        return self

    @model_validator(mode="after")
    def _micro_batches_are_equal(self) -> Optimization:
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"gradient_accumulation_steps ({self.gradient_accumulation_steps}) must divide "
                f"batch_size ({self.batch_size})"
            )
        return self


class Training(Optimization):
    """Training of an adapter, with validation grids on the way."""

    validate_every_steps: PositiveInt
    num_validation_images: Annotated[int, Field(ge=0, le=64)]


class SubjectTraining(Training):
    """Training on a subject, with prior preservation."""

    prior_loss_weight: NonNegativeFloat


# The sections of a run's settings that train, each with keys of its own and those of `SHARED_SECTION`.
TRAINING_SECTIONS: dict[str, type[Optimization]] = {
    "train": Training,
    "train_subject": SubjectTraining,
    "fit_magnitude": Optimization,
}
SHARED_SECTION = "training"


def share_training(values: Any) -> Any:
    """Return a run's settings with the values of `SHARED_SECTION` in each training that lacks its own.

    A key that no training has goes to ``train`` alone: it is refused there, once.
    """
    shared = values.get(SHARED_SECTION) if isinstance(values, dict) else None
    if not isinstance(shared, dict):
        return values
    resolved = dict(values)
    for name, settings in TRAINING_SECTIONS.items():
        if isinstance(own := values.get(name), dict):
            known = Training.model_fields.keys() & settings.model_fields.keys()
            resolved[name] = {k: v for k, v in shared.items() if name == "train" or k in known} | own
    return resolved


def written_location(location: tuple[Any, ...], values: dict[str, Any]) -> tuple[Any, ...]:
    """Return where ``values`` have, or should have, what `share_training` put at ``location``."""
    if len(location) < 2 or location[0] not in TRAINING_SECTIONS:
        return location
    name, key = location[:2]
    sections = {each: values.get(each) for each in (*TRAINING_SECTIONS, SHARED_SECTION)}
    having = [each for each, section in sections.items() if isinstance(section, dict) and key in section]
    may_be_shared = name == "train" or key in Training.model_fields
    if name in having or not may_be_shared or (having and SHARED_SECTION not in having):
        return location
    return (SHARED_SECTION, *location[1:])


class Prior(Section):
    """Class pictures drawn by the base."""

    num_class_images: Annotated[int, Field(ge=1, le=10_000)]


class Transfer(Section):
    """A task evaluated with the adapter that another task trained."""

    task: Name
    adapter: Name
    trained_on: Name
