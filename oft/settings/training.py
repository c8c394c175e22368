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
    schedule: Literal["constant", "cosine"]
    warmup_steps: NaturalInt
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

    @model_validator(mode="after")
    def _warmup_ends(self) -> Optimization:
        if self.warmup_steps >= self.max_train_steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be below max_train_steps ({self.max_train_steps})"
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
