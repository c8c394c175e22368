"""What every kind of adapter does: training, sampling, evaluation, exchange and report know this and no kind.

A kind is two things: a ``Method``, light enough to be read with params.yaml, and a subclass of ``Adapter``,
imported when such an adapter is first made or loaded. ``oft.adapters.registry`` finds both by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from oft.errors import ParamsError
from oft.settings.section import PositiveFloat, Section

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


TrainingSection = Literal["train", "train_subject", "fit_magnitude"]


class AdapterSettings(Section):
    """Settings that an adapter of any kind has.

    Attributes:
        method: the kind, a name of the registry.
        title: what tables and pictures call the adapter; None takes its name in params.yaml.
        learning_rates: peak rates by section of params.yaml that trains, where the section's own is not this
            adapter's: kinds differ by orders of magnitude in the rate that does best.
    """

    method: str
    title: str | None = None
    learning_rates: dict[TrainingSection, PositiveFloat] = Field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A kind of adapter as params.yaml, help texts and the report see it.

    Attributes:
        name: what ``method`` says in params.yaml.
        settings: its settings.
        meaning: what such an adapter is, in one line of the report; it may depend on the settings.
        load_class: imports and returns its ``Adapter``.
        recognises: whether the files of a folder are an adapter of this kind; of several kinds that do, the
            first of the registry has it.
        check: refuses, by a ``ParamsError``, settings that only the library behind the kind can judge; it may
            import that library, so it is asked before a run and not whenever settings are read.
        needs_condition: it learns from a conditioning image alone, so a subject cannot be its task.
        changes_weights: merged, it lies in the base's weights.
        has_peft_form: ``save_for_peft`` writes it.
        has_magnitudes: ``add_magnitudes`` has something to fit.
    """

    name: str
    settings: type[AdapterSettings]
    meaning: Callable[[Any], str]
    load_class: Callable[[], type[Adapter]]
    recognises: Callable[[Path], bool]
    check: Callable[[Any], None] = lambda settings: None
    needs_condition: bool = False
    changes_weights: bool = True
    has_peft_form: bool = False
    has_magnitudes: bool = False


class Adapter(ABC):
    """What is trained on top of a frozen base, put on its UNet.

    Attributes:
        method: the name of its kind.
        unet: the UNet that carries it.
        text_encoder: the text encoder where that is trained along; None where it stays the base's.
    """

    method: ClassVar[str]
    unet: nn.Module
    text_encoder: nn.Module | None = None

    # ---- Made, loaded and saved

    @classmethod
    @abstractmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> Adapter:
        """Put a new adapter on ``unet``, which still draws what it drew before.

        Args:
            settings: of the method's settings class.
            with_condition: the task gives a conditioning image with each picture.
            generator: for values that are drawn.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> Adapter:
        """Put the adapter saved in ``folder`` on ``unet``; check everything before touching the UNet.

        Args:
            base_hash: hash of the base's weights; None skips the comparison.

        Raises:
            CheckpointError: a file is missing or damaged, or belongs to another base or architecture.
            ParamsError: the UNet carries an adapter already.
        """

    @abstractmethod
    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the adapter in the form that its users expect; equal adapters give equal bytes.

        Args:
            base_hash: hash of the base's weights; ``load`` compares it.
            base_name: where the base came from, for people to read.
            metadata: further entries for each file's metadata.
        """

    def train_text_encoder(self, text_encoder: nn.Module, generator: torch.Generator) -> None:
        """Put a part of the adapter on the text encoder too, at the identity.

        Raises:
            ParamsError: the kind does not train it.
        """
        raise ParamsError(f"an adapter of method {self.method} does not train the text encoder")

    def load_text_encoder(self, folder: Path, text_encoder: nn.Module) -> None:  # noqa: B027 (few kinds have one)
        """Put what ``folder`` has for the text encoder on it; nothing where it has none."""

    def save_for_peft(self, folder: Path, *, base_hash: str, base_name: str | None = None) -> list[str]:
        """Write what ``PeftModel.from_pretrained`` loads; return what had to be left out, for people to read.

        Raises:
            ParamsError: PEFT has no adapter of this kind.
        """
        raise ParamsError(f"PEFT has no adapter of the kind {self.method}; use the adapter as it is")

    def lora_state(self) -> dict[str, Tensor] | None:
        """Return the change as a LoRA's factors by their names in diffusers' file, their scale in ``lora_B``.

        None where the change is not one of such factors.
        """
        return None

    def lost_by_merging(self) -> list[str]:
        """Return what merged weights leave out of the adapter, for people to read."""
        return []

    @abstractmethod
    def remove(self) -> None:
        """Take the adapter off the UNet."""

    # ---- Trained

    @abstractmethod
    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return what training moves, by name, in an order that never changes."""

    def before_step(self, seed: int) -> None:  # noqa: B027 (most kinds need nothing)
        """Get ready for an optimizer step whose own randomness follows from ``seed``."""

    def after_step(self, step: int) -> None:  # noqa: B027 (likewise)
        """Follow an optimizer step, the ``step``-th, counted from 1; its gradients are there still."""

    def after_training(self) -> None:  # noqa: B027 (likewise)
        """Leave the state that training needs."""

    def training_state(self) -> dict[str, Tensor]:
        """Return what a resumed training needs beside the trained parameters and the optimizer's state."""
        return {}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027 (likewise)
        """Go on from what ``training_state`` returned."""

    def add_magnitudes(self) -> bool:
        """Put a scale of 1 on each adapted neuron; from here on the scales alone are trained.

        Returns:
            False, with nothing changed, where the method has no magnitudes to fit.
        """
        return False

    # ---- Applied

    @property
    @abstractmethod
    def takes_condition(self) -> bool:
        """Whether each call of the UNet needs a conditioning image."""

    @abstractmethod
    def conditioned(self, images: Tensor | None) -> AbstractContextManager[None]:
        """Let the UNet see conditioning images inside the block; None shows it none.

        Args:
            images: ``[batch, 3, height, width]`` in 0..1; the UNet's batch is a multiple of theirs.
        """

    def guess_mode(self, images: Tensor) -> AbstractContextManager[None]:
        """Let the conditional half of guidance alone see conditioning images (ControlNet's guess mode).

        Args:
            images: as ``conditioned`` takes them; the UNet's batch is twice theirs, the unconditional half
                first.

        Raises:
            ParamsError: the kind takes conditioning images and has no guess mode.
        """
        raise ParamsError(
            f"an adapter of method {self.method} has no guess mode; set sample.guess_mode to false in "
            "params.yaml"
        )

    @property
    @abstractmethod
    def strength(self) -> float:
        """How much of the change to the weights applies: 0 none, 1 as trained."""

    @strength.setter
    @abstractmethod
    def strength(self, strength: float) -> None: ...

    @property
    @abstractmethod
    def merged(self) -> bool:
        """Whether the UNet's weights contain the adapter."""

    @abstractmethod
    def merge(self) -> None:
        """Fold the adapter into the UNet's weights where it can be: sampling costs what the base costs."""

    @abstractmethod
    def unmerge(self) -> None:
        """Put the UNet's weights back, bit for bit."""

    def merged_values(self) -> dict[str, Tensor]:
        """Return copies of the UNet's parameters that merging changes, as they are then, by their names."""
        with self.merging():
            return {
                f"{name}.weight": self.unet.get_parameter(f"{name}.weight").detach().clone()
                for name in self.adapted_layers()
            }

    @contextmanager
    def merging(self) -> Iterator[None]:
        """Merged inside the block, as before after it."""
        merged = self.merged
        try:
            self.merge()
            yield
        finally:
            if not merged:
                self.unmerge()

    # ---- Described

    @abstractmethod
    def count_parameters(self) -> dict[str, int]:
        """Return the number of trained scalars of each part."""

    def adapted_layers(self) -> list[str]:
        """Return the names of the layers whose weights change when the adapter is merged."""
        return []

    def orthogonality_error(self) -> float | None:
        """Return the largest entry of |R Rᵀ - I| over its rotations; None for a kind without rotations."""
        return None
