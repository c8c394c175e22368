"""What trainings of every kind have: the parameters they share, and what a kind says of itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from flows.requests.checks import Check
from flows.requests.collecting import Collector
from flows.requests.prompts import check_plain
from oft.adapters.protocol import Method, TrainingSection
from oft.settings.section import Name, multiple_of

MAX_ADDRESS_CHARS = 2048

Prompt = Annotated[str, AfterValidator(check_plain)]
Address = Annotated[str, Field(min_length=1, max_length=MAX_ADDRESS_CHARS)]
LrScheduler = Literal[
    "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"
]

# The data set of a request's pictures, in its params.yaml.
DATASET = "requested"


class CommonRequest(BaseModel):
    """A training. What is left out has the profile's value.

    A kind is a subclass: its parameters, its rules beyond their types, its settings and its pictures.

    Attributes:
        learns: what an adapter learns in it, for messages.
        sources: the parameters that say where pictures are.
        section: the section of params.yaml that trains.
        task: the name of its one task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    learns: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]
    section: ClassVar[TrainingSection]
    task: ClassVar[str]

    kind: str
    output: Address = Field(
        description="Where the result goes, in a folder named by the run: s3://bucket/prefix or a folder, "
        "below those the server allows."
    )
    profile: str = Field(
        default="miniature",
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="A file of conf/profile without .yaml: base model, sampler, judges, and every setting "
        "that is left out here.",
    )
    adapter: Name = Field(
        default="oft",
        description="An adapter of the profile's `adapters`, by its name: oft (orthogonal finetuning), coft "
        "(constrained to a ball round the identity), lora, dreambooth, or another that can learn what is "
        "asked for.",
    )
    num_blocks: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Diagonal blocks of each rotation, the paper's r; must divide the width of every adapted "
        "layer.",
    )
    max_train_steps: Annotated[int, Field(ge=2, le=20_000)] | None = Field(
        default=None, description="Optimizer steps, 2 to 20000."
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Peak learning rate, above 0, at most 1."
    )
    scale_lr: bool | None = Field(
        default=None,
        description="Multiply learning_rate by the pictures of a step, as diffusers' trainers do.",
    )
    lr_scheduler: LrScheduler | None = Field(
        default=None,
        description="How the learning rate changes, by diffusers' name: constant, constant_with_warmup, "
        "linear, cosine, cosine_with_restarts (lr_num_cycles times) or polynomial (lr_power).",
    )
    lr_warmup_steps: Annotated[int, Field(ge=0, le=20_000)] | None = Field(
        default=None,
        description="Steps in which the learning rate rises from zero, 0 to below max_train_steps; none: the "
        "profile's, at most a tenth of max_train_steps.",
    )
    lr_num_cycles: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="How often lr_scheduler cosine_with_restarts falls, 1 to 1000."
    )
    lr_power: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="Power of lr_scheduler polynomial, above 0, at most 10; 1 is a line."
    )
    train_text_encoder: bool | None = Field(
        default=None,
        description="Train the text encoder along, with an adapter that can: those of method peft and full, "
        "such as lora and dreambooth.",
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default=0, description="Source of all randomness: the same request gives the same bytes."
    )
    resolution_px: Annotated[int, Field(ge=64, le=1024), multiple_of(8)] | None = Field(
        default=None,
        description="Side of the square pictures trained on, pixels; a multiple of 8, 64 to 1024.",
    )
    num_gallery_images: Annotated[int, Field(ge=1, le=16)] = Field(
        default=4, description="Pictures of each prompt or condition of the gallery, 1 to 16."
    )
    webhook: Address | None = Field(
        default=None,
        description="https:// address that a signed JSON message is posted to when the run has completed, "
        "failed, crashed or been cancelled.",
    )

    @classmethod
    def kind_name(cls) -> str:
        """Return what ``kind`` says for it."""
        return str(get_args(cls.model_fields["kind"].annotation)[0])

    @classmethod
    def addresses(cls) -> tuple[str, ...]:
        """Return the parameters that no message repeats: an address may hold a password or a signature."""
        return (*cls.sources, "output", "webhook")

    @classmethod
    @abstractmethod
    def can_learn(cls, method: Method) -> bool:
        """Return whether adapters of a method can be trained so."""

    @classmethod
    @abstractmethod
    def checks(cls) -> Iterator[Check]:
        """Yield the rules of this kind's own parameters."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What heads the gallery."""

    @property
    @abstractmethod
    def stages(self) -> list[str]:
        """The stages of dvc.yaml that end the training; those before them run too."""

    @property
    @abstractmethod
    def shown(self) -> Path:
        """Where in the clone the folder of the gallery's pictures is."""

    @property
    def shown_conditions(self) -> Path | None:
        """Where in the clone the shards are whose conditions the gallery's pictures are drawn for, if any."""
        return None

    @property
    def run(self) -> Path:
        """Where in the clone the folder of the trained adapter is."""
        return Path("runs") / self.task / self.adapter

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """What it changes in sections of the profile's settings; None leaves a setting as it is."""
        return {"sample": {"num_samples": self.num_gallery_images}}

    @abstractmethod
    def settings(self, dataset: str) -> dict[str, Any]:
        """Return the settings of params.yaml that are this kind's own, each in place of the profile's.

        Args:
            dataset: the folder of its data set, as stages find it.
        """

    @abstractmethod
    def place(self, settings: dict[str, Any], collector: Collector, root: Path) -> None:
        """Fetch and check the pictures, put them into the clone ``root``, and their places into its settings.

        Raises:
            DataError: pictures cannot be had, or break a rule.
        """
