"""Settings of the base, the adapters and their training."""

from __future__ import annotations

from typing import Annotated, Literal

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
    checkpoint_every_steps: PositiveInt
    log_to: list[Literal["tensorboard", "wandb"]]

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


class Prior(Section):
    """Class pictures drawn by the base."""

    num_class_images: Annotated[int, Field(ge=1, le=10_000)]


class Transfer(Section):
    """A task evaluated with the adapter that another task trained."""

    task: Name
    adapter: Name
    trained_on: Name
