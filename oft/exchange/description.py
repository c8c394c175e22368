"""What a saved adapter is, read from its files alone: no base, no model.

Settings and sizes come from the headers; of OFT's files the values are read too, a layer at a time.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from torch import Tensor

from oft.adapters.files import CONFIG_FILE, HINT_ENCODER_FILE, LORA_FILE, MAGNITUDE_FILE, ROTATION_FILE
from oft.adapters.hint.method import METHOD as HINT
from oft.adapters.oft.method import METHOD as OFT
from oft.adapters.oft.rotation import block_size_of
from oft.adapters.oft.saving import CONVENTION, PEFT_PREFIX, PEFT_SUFFIX, read_eps, read_flag
from oft.adapters.registry import METHODS
from oft.errors import CheckpointError
from oft.storage import read_json
from oft.weights import check_numbers

AdapterPart = Literal["rotation", "magnitude", "hint_encoder"]

PART_FILES: Mapping[str, AdapterPart] = {
    ROTATION_FILE: "rotation",
    MAGNITUDE_FILE: "magnitude",
    HINT_ENCODER_FILE: "hint_encoder",
}
NEUMANN_CONVENTION = (
    "x R with R near (I + S)(I - S)^-1, S = U - U^T: PEFT's truncated Cayley-Neumann series, which turns the "
    "other way than the exact transform and is only nearly orthogonal"
)
_TENSOR_NAMES: Mapping[AdapterPart, re.Pattern[str]] = {
    "rotation": re.compile(f"{re.escape(PEFT_PREFIX)}.+{re.escape(PEFT_SUFFIX)}"),
    "magnitude": re.compile(r".+\.log_scale"),
    "hint_encoder": re.compile(r"convs\.\d+\.(weight|bias)"),
}
_TITLES: Mapping[str, str] = {
    "adapter": "an OFT adapter",
    "rotation": "the rotations of an OFT adapter",
    "magnitude": "the magnitudes of an OFT adapter",
    "hint_encoder": "a hint encoder",
}
# Entries of the metadata that have a field of their own in a Description, or carry no information.
_DESCRIBED_KEYS = frozenset(
    (
        "format",
        "base_hash",
        "convention",
        "num_blocks",
        "block_size",
        "block_share",
        "coft",
        "eps",
        "eps_convention",
        "parameter_scale",
        "application",
    )
)


@dataclass(frozen=True)
class Blocks:
    """Layers whose rotations have one shape: ``stored_blocks`` blocks of ``block_size`` rows and columns."""

    layers: int
    stored_blocks: int
    block_size: int


@dataclass(frozen=True)
class Contents:
    """What one safetensors file of an adapter holds.

    Attributes:
        layers: how many layers it has values for; of a hint encoder, its convolutions.
        parameters: its scalars.
        metadata: as it stands in the header.
        blocks: of rotations, their shapes.
        max_abs_skew: of rotations, the largest |entry| of any S.
    """

    part: AdapterPart
    layers: int
    parameters: int
    metadata: dict[str, str]
    blocks: tuple[Blocks, ...] = ()
    max_abs_skew: float | None = None


@dataclass(frozen=True)
class Description:
    """What a saved adapter is; None where its files do not say.

    Attributes:
        path: what was asked about.
        kind: ``adapter`` for a folder of OFT; for a file, the part it holds; else the kind of the adapter.
        layers: adapted layers; for a hint encoder's file, its convolutions.
        blocks: the shapes of the rotations.
        block_share: one stored block serves a layer's whole diagonal.
        coft: S is kept within a bound.
        eps: COFT's freedom, in ``eps_convention``.
        eps_convention: whose, see ``coft_bound``.
        parameter_scale: what was trained, the stored values (``none``) or multiples of them (``block_size``),
            see ``oft.adapters.oft.rotation.parameter_scale``.
        convention: how R is made of the stored values, and which way it is applied.
        base_hash: of the base it was trained on.
        max_abs_skew: the largest |entry| of any S.
        parameters: trained scalars by part.
        metadata: further entries of the metadata.
        files: the adapter's files in the folder, with their sizes in bytes.
    """

    path: str
    kind: str
    layers: int
    blocks: tuple[Blocks, ...]
    block_share: bool | None
    coft: bool | None
    eps: float | None
    eps_convention: str | None
    parameter_scale: str | None
    convention: str | None
    base_hash: str | None
    max_abs_skew: float | None
    parameters: dict[str, int]
    metadata: dict[str, str]
    files: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the same for people: one fact a line, without those that the files do not say."""
        shared = ", shared by the whole diagonal" if self.block_share else ""
        facts = {
            "layers": str(self.layers),
            "blocks": "; ".join(
                f"{group.stored_blocks} of {group.block_size} x {group.block_size} in {group.layers} layers"
                for group in self.blocks
            )
            + shared,
            "convention": self.convention,
            "COFT": self._coft_text(),
            "scale": self.parameter_scale,
            "max |S|": None if self.max_abs_skew is None else f"{self.max_abs_skew:.4g}",
            "trained": ", ".join(f"{count:,} ({part})" for part, count in self.parameters.items()),
            "base hash": self.base_hash or "not recorded",
            "metadata": ", ".join(f"{key}={value}" for key, value in self.metadata.items()),
            "files": ", ".join(f"{name} ({size:,} bytes)" for name, size in self.files.items()),
        }
        lines = [f"  {name:<12}{text}" for name, text in facts.items() if text]
        title = _TITLES.get(self.kind, f"an adapter of the kind {self.kind}")
        return "\n".join([f"{self.path}: {title}", *lines])

    def _coft_text(self) -> str | None:
        if not self.coft:
            return None if self.coft is None else "no"
        return f"eps {self.eps}, convention {self.eps_convention}"


def describe_adapter(path: Path) -> Description:
    """Return what the adapter in a folder is, or the part of one in a .safetensors file.

    A folder is described by its configuration and all its parts, a file by its own header.

    Raises:
        CheckpointError: nothing is there, or it is damaged, or it is no OFT adapter of this project or PEFT.
    """
    path = Path(path)
    if path.is_dir():
        return _describe_folder(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file or folder; give an adapter's folder or one of its .safetensors files"
        )
    contents = read_contents(path)
    return _describe(path, contents.part, contents, {contents.part: contents.parameters}, {})


def read_contents(source: Path) -> Contents:
    """Return what a safetensors file of an adapter holds.

    Raises:
        CheckpointError: the file is damaged, or holds something else.
    """
    with _open_safetensors(source) as file:
        names = list(file.keys())
        metadata = dict(file.metadata() or {})
        sizes = [math.prod(file.get_slice(name).get_shape()) for name in names]
        part = _part_of(source, names)
        layers = sum(not name.endswith(".bias") for name in names)
        if part != "rotation":
            for name in names:
                check_numbers(str(source), {name: file.get_tensor(name)})
            return Contents(part, layers, sum(sizes), metadata)
        groups: Counter[tuple[int, int]] = Counter()
        largest = 0.0
        for name in names:
            packed = file.get_tensor(name)
            groups[_block_shape(source, name, packed)] += 1
            largest = max(largest, _max_abs(source, name, packed))
        blocks = tuple(Blocks(count, rows, size) for (rows, size), count in sorted(groups.items()))
        return Contents(part, layers, sum(sizes), metadata, blocks, largest)


def _describe_folder(folder: Path) -> Description:
    if HINT.recognises(folder):
        return replace(describe_adapter(folder / HINT_ENCODER_FILE), path=str(folder))
    for method in METHODS.values():
        if method not in (OFT, HINT) and method.recognises(folder):
            return _describe_tensors(folder, method.name)
    if not (folder / ROTATION_FILE).is_file():
        names = sorted(path.name for path in folder.iterdir())[:5]
        raise CheckpointError(
            f"{folder}: an adapter's folder holds {ROTATION_FILE}, and this one "
            f"{', '.join(names) or 'nothing'}; give the folder that a training wrote"
        )
    parts = {name: read_contents(folder / name) for name in PART_FILES if (folder / name).is_file()}
    for name, contents in parts.items():
        if contents.part != PART_FILES[name]:
            raise CheckpointError(
                f"{folder / name}: must hold {_TITLES[PART_FILES[name]]}, and holds "
                f"{_TITLES[contents.part]}; copy the adapter again"
            )
    hashes = {name: contents.metadata.get("base_hash") for name, contents in parts.items()}
    if len({recorded for recorded in hashes.values() if recorded is not None}) > 1:
        raise CheckpointError(
            f"{folder}: its files must belong to one base, and record "
            f"{', '.join(f'{recorded} ({name})' for name, recorded in hashes.items())}; "
            "copy the adapter again"
        )
    parameters = {str(contents.part): contents.parameters for contents in parts.values()}
    return _describe(folder, "adapter", parts[ROTATION_FILE], parameters, _read_config(folder / CONFIG_FILE))


def _describe_tensors(folder: Path, kind: str) -> Description:
    """Return what the headers of an adapter's files say, whatever its kind."""
    parameters: dict[str, int] = {}
    metadata: dict[str, str] = {}
    num_tensors = 0
    files = sorted(folder.rglob("*.safetensors"))
    for path in files:
        if path.name == LORA_FILE:
            continue  # the same values under diffusers' names
        with _open_safetensors(path) as file:
            metadata |= file.metadata() or {}
            names = list(file.keys())
            sizes = [math.prod(file.get_slice(name).get_shape()) for name in names]
        parameters[path.relative_to(folder).with_suffix("").as_posix()] = sum(sizes)
        num_tensors += len(sizes)
    return Description(
        path=str(folder),
        kind=kind,
        layers=num_tensors,
        blocks=(),
        block_share=None,
        coft=None,
        eps=None,
        eps_convention=None,
        parameter_scale=None,
        convention=None,
        base_hash=metadata.get("base_hash"),
        max_abs_skew=None,
        parameters=parameters,
        metadata={key: value for key, value in sorted(metadata.items()) if key not in _DESCRIBED_KEYS},
        files={path.relative_to(folder).as_posix(): path.stat().st_size for path in files},
    )


def _describe(
    path: Path,
    kind: str,
    contents: Contents,
    parameters: dict[str, int],
    config: Mapping[str, Any],
) -> Description:
    metadata = contents.metadata
    convention = metadata.get("convention")
    if convention is None and config:
        convention = NEUMANN_CONVENTION if config.get("use_cayley_neumann", True) else CONVENTION
    coft = _flag("coft", metadata, config)
    eps = metadata.get("eps", config.get("eps")) if coft else None
    folder = path if path.is_dir() else path.parent
    return Description(
        path=str(path),
        kind=kind,
        layers=contents.layers,
        blocks=contents.blocks,
        block_share=_flag("block_share", metadata, config),
        coft=coft,
        eps=None if eps is None else read_eps(path, eps),
        eps_convention=None
        if eps is None
        else metadata.get("eps_convention", "reference" if "eps" in metadata else "peft"),
        parameter_scale=metadata.get("parameter_scale"),
        convention=convention,
        base_hash=metadata.get("base_hash"),
        max_abs_skew=contents.max_abs_skew,
        parameters=parameters,
        metadata={key: value for key, value in sorted(metadata.items()) if key not in _DESCRIBED_KEYS},
        files={
            name: (folder / name).stat().st_size
            for name in (CONFIG_FILE, *PART_FILES)
            if (folder / name).is_file()
        },
    )


def _read_config(source: Path) -> Mapping[str, Any]:
    if not source.is_file():  # of a pipe nothing may ever come
        raise CheckpointError(
            f"{source}: an adapter's folder holds PEFT's JSON here, and this is no file; copy the adapter "
            "again"
        )
    try:
        values = read_json(source)
        peft_type = values["peft_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
        raise CheckpointError(
            f"{source}: an adapter's folder holds PEFT's JSON here, with its peft_type, got {fault!r}; "
            "copy the adapter again"
        ) from fault
    if peft_type != "OFT":
        raise CheckpointError(f"{source}: peft_type must be 'OFT', got {peft_type!r}; give an OFT adapter")
    assert isinstance(values, dict)
    for name in {"block_share", "coft", "use_cayley_neumann"}.intersection(values):
        read_flag(source, name, values[name])
    if values.get("coft") and "eps" in values:
        read_eps(source, values["eps"])
    return values


@contextmanager
def _open_safetensors(source: Path) -> Iterator[Any]:
    if not source.is_file():  # of a pipe nothing may ever come
        raise CheckpointError(f"{source}: must be a safetensors file, and is no file; copy it again")
    try:
        with safe_open(source, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as fault:
        raise CheckpointError(
            f"{source}: must be a whole safetensors file, got {fault}; copy it again"
        ) from fault


def _part_of(source: Path, names: Sequence[str]) -> AdapterPart:
    for part, pattern in _TENSOR_NAMES.items():
        if names and all(pattern.fullmatch(name) for name in names):
            return part
    raise CheckpointError(
        f"{source}: the tensors of an OFT adapter are called {PEFT_PREFIX}<layer>{PEFT_SUFFIX}, "
        f"<layer>.log_scale or convs.<i>.weight, and here "
        f"{', '.join(map(repr, sorted(names)[:3])) or 'there is none'}; "
        "give an adapter of this project or of PEFT's OFT"
    )


def _block_shape(source: Path, name: str, packed: Tensor) -> tuple[int, int]:
    try:
        rows, _ = packed.shape
        if not rows:
            raise ValueError("no block")
        return rows, block_size_of(packed)
    except ValueError as fault:
        raise CheckpointError(
            f"{source}: rotations are stored as [blocks, b(b-1)/2], and {name!r} as {list(packed.shape)} "
            f"({fault}); give an adapter of this project or of PEFT's OFT"
        ) from fault


def _max_abs(source: Path, name: str, packed: Tensor) -> float:
    check_numbers(str(source), {name: packed})
    return float(packed.abs().max())


def _flag(name: str, metadata: Mapping[str, str], config: Mapping[str, Any]) -> bool | None:
    if name in metadata:
        return metadata[name] == "true"
    return config.get(name)
