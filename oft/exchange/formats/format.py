"""A format that adapters are exported to, as the command line, the docs and messages see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from oft.errors import ParamsError

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from oft.adapters.protocol import Adapter
    from oft.exchange.bases import BaseIdentity

Precision = Literal["fp32", "fp16"]
MAX_STRENGTH = 10  # as in params.yaml
# Of an adapter's effect, the share that a format with arithmetic of its own may lose without being told to.
MAX_ERROR = 1e-3
DEFAULT_ENERGY = 0.99


@dataclass(frozen=True)
class ExportOptions:
    """What a user may choose; each format takes some of them.

    Attributes:
        strength: how much of the adapter goes in: 0 none, 1 what was trained.
        rank: of a layer's low-rank factors; None where ``energy`` decides.
        energy: the share of a layer's squared change that its factors keep at least; None where ``rank``
            decides.
        allow_error: accept an error above ``MAX_ERROR``.
        local_base: name a base that is not of the hub by its folder on this machine.

    Raises:
        ParamsError: a value is out of its range, or two contradict each other.
    """

    strength: float = 1.0
    rank: int | None = None
    energy: float | None = None
    allow_error: bool = False
    local_base: bool = True

    def __post_init__(self) -> None:
        if not -MAX_STRENGTH <= self.strength <= MAX_STRENGTH:
            raise ParamsError(f"--strength ({self.strength}) must be from -{MAX_STRENGTH} to {MAX_STRENGTH}")
        if self.rank is not None and self.energy is not None:
            raise ParamsError(
                f"--rank ({self.rank}) and --energy ({self.energy}) both decide the ranks; give one of them"
            )
        if self.rank is not None and self.rank < 1:
            raise ParamsError(f"--rank ({self.rank}) must be at least 1; 32 is common")
        if self.energy is not None and not 0 < self.energy <= 1:
            raise ParamsError(f"--energy ({self.energy}) must be above 0 and at most 1, for example 0.99")

    def given(self) -> list[str]:
        """Return the names of the options that are not at their defaults."""
        return [each.name for each in fields(self) if getattr(self, each.name) != each.default]


@dataclass(frozen=True)
class Export:
    """One export: an adapter on its base's UNet, and what to make of it.

    Attributes:
        folder: where the adapter is saved.
        base: folder of the base.
        unet: the base's, in float32, with the adapter on it at the strength asked for.
        target: what to make; nothing is there yet.
        precision: of the tensors written.
    """

    folder: Path
    base: Path
    identity: BaseIdentity
    unet: UNet2DConditionModel
    adapter: Adapter
    target: Path
    precision: Precision
    options: ExportOptions = field(default_factory=ExportOptions)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file's metadata says of base and adapter."""
        from oft.adapters.tensors import file_metadata

        return {**file_metadata(self.identity.hash, self.identity.name), "origin": self.origin}

    @property
    def dtype(self) -> Any:
        """The type of the tensors written."""
        import torch

        return {"fp32": torch.float32, "fp16": torch.float16}[self.precision]

    @property
    def origin(self) -> str:
        """Say what the result was made of, for people to read."""
        return f"{self.identity.name} merged with the adapter {self.folder.name}"


@dataclass(frozen=True)
class Format:
    """A format of another program.

    Attributes:
        name: what ``--format`` says.
        program: who reads it.
        loads: how it is loaded there.
        exactness: how near it comes to the adapter, in a few words.
        makes: what ``OUT`` is.
        precisions: the types it can be written in, its default first.
        takes: the names of the options it takes.
        write: makes the target and returns what the user should know.
        is_for_xl: its names of layers are those of Stable Diffusion XL, too.
    """

    name: str
    program: str
    loads: str
    exactness: str
    makes: Literal["folder", "file", "either"]
    precisions: tuple[Precision, ...]
    takes: tuple[str, ...]
    write: Callable[[Export], list[str]]
    is_for_xl: bool = False

    @property
    def suffix_rule(self) -> str:
        """What the name of ``OUT`` must be."""
        return {
            "folder": "a folder",
            "file": "a file .safetensors",
            "either": "a folder, or a file .safetensors",
        }[self.makes]
