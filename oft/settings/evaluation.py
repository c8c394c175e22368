"""Settings of sampling, metrics, the report and the gate."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, model_validator

from oft.settings.section import (
    BatchSize,
    Name,
    NaturalInt,
    NonNegativeFloat,
    OneLine,
    PositiveFloat,
    PositiveInt,
    SchedulerName,
    Section,
    Share,
    multiple_of,
)


class Sampling(Section):
    """How pictures are generated."""

    scheduler: SchedulerName
    karras_sigmas: bool | None
    eta: Share
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)]
    guidance_scale: Annotated[float, Field(ge=1, le=30)]
    negative_prompt: OneLine
    guess_mode: bool
    num_samples: Annotated[int, Field(ge=1, le=64)]
    num_subject_samples: Annotated[int, Field(ge=1, le=64)]
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    strength: Annotated[float, Field(ge=-10, le=10)]

    @model_validator(mode="after")
    def _guidance_has_an_unconditional_half(self) -> Sampling:
        if self.guidance_scale == 1:
            for name, neutral in (("negative_prompt", ""), ("guess_mode", False)):
                if (value := getattr(self, name)) != neutral:
                    raise ValueError(
                        f"{name} ({value!r}) is of guidance's unconditional half, and guidance_scale 1 has "
                        f"none; raise guidance_scale or set {name} to {json.dumps(neutral)}"
                    )
        return self


class ControlNetPlusPlus(Section):
    """ControlNet++'s protocol beside the reference protocol, with judges of its own."""

    enabled: bool
    segmenter: Annotated[str, Field(min_length=1)]
    depth: Annotated[str, Field(min_length=1)]


class Drawing(Section):
    """Prompts of the user's own that a trained adapter draws; they are shown, not measured."""

    task: Name
    adapter: Name
    prompts: Annotated[list[OneLine], Field(min_length=1, max_length=1000)]
    num_samples: Annotated[int, Field(ge=1, le=64)]


class Evaluation(Section):
    """Judges and the arithmetic's free choices."""

    judges: str
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    kernel_distance_subsets: PositiveInt
    kernel_distance_subset_size: Annotated[int, Field(ge=2)]
    num_confusion_classes: Annotated[int, Field(ge=2, le=150)]
    before_magnitudes: bool
    drift_prompts: list[Annotated[str, Field(min_length=1)]]
    controlnetpp: ControlNetPlusPlus

    @model_validator(mode="after")
    def _drift_has_an_interval(self) -> Evaluation:
        if len(self.drift_prompts) == 1:
            raise ValueError("drift_prompts must be none or two and more: an interval needs several, got one")
        return self


class Angles(Section):
    """The paper's toy experiment: an autoencoder, and pictures from angles or magnitudes alone."""

    dataset: Name
    resolution_px: Annotated[int, Field(ge=16, le=256), multiple_of(8)]
    num_train_images: Annotated[int, Field(ge=1, le=100_000)]
    num_held_out_images: Annotated[int, Field(ge=1, le=100_000)]
    max_train_steps: Annotated[int, Field(ge=2, le=1_000_000)]
    batch_size: BatchSize
    learning_rate: PositiveFloat
    num_rows: Annotated[int, Field(ge=1, le=64)]


class Report(Section):
    """What the page shows."""

    num_rows: Annotated[int, Field(ge=1, le=64)]


class GateMetric(Section):
    """What one score of a candidate's pictures must show beside the promoted model's."""

    direction: Literal["higher", "lower"]
    min_gain: NonNegativeFloat | None
    max_loss: NonNegativeFloat | None


class Gate(Section):
    """When a retrained adapter takes the place of the promoted one."""

    adapter: Name
    tasks: list[Name] | None
    metrics: Annotated[dict[str, GateMetric], Field(min_length=1)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    num_resamples: Annotated[int, Field(ge=100, le=1_000_000)]
    min_conditions: Annotated[int, Field(ge=2)]
    seed: NaturalInt

    @model_validator(mode="after")
    def _something_can_gain(self) -> Gate:
        if all(metric.min_gain is None for metric in self.metrics.values()):
            raise ValueError(
                "metrics: at least one needs a min_gain that is a number, or nothing is ever promoted; "
                "they are all null"
            )
        if self.tasks is not None and not self.tasks:
            raise ValueError("tasks must name a task, got []; null takes all that are trained")
        return self
