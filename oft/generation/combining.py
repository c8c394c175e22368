"""Adapters put on a base to draw with: one as sampling puts it on, several as the sum of their changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from oft.adapters.files import HINT_ENCODER_FILE
from oft.adapters.registry import recognise
from oft.errors import CheckpointError, ParamsError
from oft.generation.lora_files import is_lora_file, lora_changes
from oft.models.adapted import load_adapter_onto

if TYPE_CHECKING:
    from oft.adapters.protocol import Adapter
    from oft.models.base import Base

Changes = dict[str, dict[str, Tensor]]
"""What is added to parameters, by network of the base ("unet", "text_encoder") and parameter's name."""


@dataclass(frozen=True)
class AdapterChoice:
    """A saved adapter and how much of it applies.

    Attributes:
        path: a folder of any kind of adapter, or a file of LoRA for diffusers, kohya or AUTOMATIC1111.
        strength: 0 none, 1 as trained.
    """

    path: Path
    strength: float = 1.0

    @classmethod
    def parse(cls, text: str) -> AdapterChoice:
        """Return what ``FOLDER`` or ``FOLDER:STRENGTH`` names.

        Raises:
            CheckpointError: there is no such folder or file.
        """
        path, _, number = text.rpartition(":")
        if Path(text).exists() or not path:
            path, number = text, "1"
        try:
            choice = cls(Path(path), float(number))
        except ValueError:
            choice = cls(Path(text))
        if not choice.path.exists():
            raise CheckpointError(
                f"--adapter ({text}): there is no such folder or file; give what a training wrote, such as "
                "runs/subject_robot_toy/oft/magnitude, with :0.5 behind it for half of its strength"
            )
        return choice

    @property
    def kind(self) -> str:
        """What it is, for people to read."""
        return "LoRA" if is_lora_file(self.path) else recognise(self.path).name


def takes_condition(folder: Path) -> bool:
    """Return whether the adapter saved in ``folder`` takes a conditioning image, without loading it.

    Raises:
        CheckpointError: no kind knows its files.
    """
    return recognise(folder).needs_condition or (Path(folder) / HINT_ENCODER_FILE).is_file()


@contextmanager
def applied(base: Base, choices: Sequence[AdapterChoice], strength: float = 1.0) -> Iterator[Adapter | None]:
    """Have adapters on the base inside the block; it is as before after it.

    One adapter is put on as sampling does. Of several, each one's change of the weights, W' - W, is taken
    from the base alone and their sum applies, so that their order does not matter; one of them may take a
    conditioning image.

    Args:
        strength: times each one's own.

    Yields:
        What ``oft.sampling.generate`` needs: the adapter that is alone or takes the conditioning image.

    Raises:
        CheckpointError: an adapter is missing or damaged, or belongs to another base.
        ParamsError: they do not go together.
    """
    if len(choices) == 1 and not is_lora_file(choices[0].path):
        with _on(base, choices[0].path, choices[0].strength * strength) as adapter:
            yield adapter
        return
    total, conditioned = _sum_changes(base, choices, strength)
    originals = _add(base, total)
    try:
        if conditioned is None:
            yield None
        else:
            # Its change of weights is in the sum; what is left is what lets the image in.
            changes_weights = recognise(conditioned.path).changes_weights
            remaining = 0.0 if changes_weights else conditioned.strength * strength
            with _on(base, conditioned.path, remaining) as adapter:
                yield adapter
    finally:
        with torch.no_grad():
            for parameter, value in originals:
                parameter.copy_(value)


@contextmanager
def _on(base: Base, folder: Path, strength: float) -> Iterator[Adapter]:
    """Have one saved adapter on the base inside the block, merged."""
    adapter = load_adapter_onto(base, folder)
    try:
        adapter.strength = strength
        adapter.merge()
        yield adapter
    finally:
        adapter.remove()


def _sum_changes(
    base: Base, choices: Sequence[AdapterChoice], strength: float
) -> tuple[Changes, AdapterChoice | None]:
    """Return the sum of what adapters change, and the one that takes a conditioning image."""
    total: Changes = {}
    conditioned: AdapterChoice | None = None
    for choice in choices:
        if is_lora_file(choice.path):
            changes = lora_changes(base, choice.path, choice.strength * strength)
        else:
            with _on(base, choice.path, choice.strength * strength) as adapter:
                if adapter.text_encoder is not None:
                    raise ParamsError(
                        f"{choice.path}: this adapter changes the text encoder, and such a one is drawn with "
                        "alone; leave the others out"
                    )
                if adapter.takes_condition and conditioned is not None:
                    raise ParamsError(
                        f"{conditioned.path} and {choice.path} both take a conditioning image, and one at a "
                        "time can; leave one out"
                    )
                conditioned = choice if adapter.takes_condition else conditioned
                values = adapter.merged_values()
            changes = {
                "unet": {name: value - base.unet.get_parameter(name) for name, value in values.items()}
            }
        for part, deltas in changes.items():
            summed = total.setdefault(part, {})
            for name, delta in deltas.items():
                summed[name] = summed[name] + delta if name in summed else delta
    return total, conditioned


@torch.no_grad()
def _add(base: Base, changes: Changes) -> list[tuple[nn.Parameter, Tensor]]:
    """Add changes to the base's parameters; return those and what they were."""
    originals = []
    for part, deltas in changes.items():
        for name, delta in deltas.items():
            parameter = getattr(base, part).get_parameter(name)
            originals.append((parameter, parameter.detach().clone()))
            parameter.add_(delta)
    return originals
