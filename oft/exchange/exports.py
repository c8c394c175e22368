"""Export this project's adapters to what other programs load."""

from __future__ import annotations

from pathlib import Path

from oft.adapters.registry import load_adapter
from oft.errors import ParamsError
from oft.exchange.bases import identify_base, load_unet
from oft.exchange.formats import FORMATS, Export, ExportOptions, Format, Precision, takers
from oft.models.base import XL_PARTS, parts_of

BYTES_PER_MB = 1_000_000


def export_adapter(
    adapter: Path,
    base: Path,
    target: Path,
    form: str,
    precision: Precision | None = None,
    options: ExportOptions | None = None,
) -> list[str]:
    """Write the adapter in the folder ``adapter`` for another program, and return what the user should know.

    Args:
        base: folder of the base it was trained on.
        target: what to make, where nothing is yet: a folder or a file, see ``Format.makes``.
        form: a name in ``FORMATS``.
        precision: type of the tensors written; None for the format's own default.
        options: what else is chosen; None for the defaults.

    Raises:
        CheckpointError: adapter or base are damaged or do not belong together.
        ParamsError: there is no such format, ``target`` exists or cannot be what the format makes, the format
            does not take an option, or the adapter is nothing that it can have.
    """
    chosen = find_format(form)
    options = options or ExportOptions()
    refuse_target(target, base, chosen.makes, chosen.name)
    for name in options.given():
        if name not in chosen.takes:
            raise ParamsError(
                f"--{name.replace('_', '-')} ({getattr(options, name)}) is for the formats "
                f"{', '.join(takers(name))}, and this is {form}; leave it out"
            )
    if precision is not None and precision not in chosen.precisions:
        raise ParamsError(
            f"--dtype ({precision}): {form} is written in {' or '.join(chosen.precisions)} alone; leave it "
            "out"
        )
    if not chosen.is_for_xl and parts_of(base) == XL_PARTS:
        others = ", ".join(each.name for each in FORMATS.values() if each.is_for_xl)
        raise ParamsError(
            f"--format ({form}): is for Stable Diffusion 1 and 2 (its readers name XL's layers otherwise), "
            f"and {base} is XL; choose one of {others}"
        )
    identity = identify_base(base)
    unet = load_unet(base)
    loaded = load_adapter(adapter, unet, base_hash=identity.hash)
    if options.strength != 1.0:
        loaded.strength = options.strength
    export = Export(adapter, base, identity, unet, loaded, target, precision or chosen.precisions[0], options)
    notes = chosen.write(export)
    return [*notes, *describe_size(target, export.precision, chosen)]


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        ParamsError: there is none of that name.
    """
    if name not in FORMATS:
        raise ParamsError(f"--format ({name}) must be one of {', '.join(FORMATS)}")
    return FORMATS[name]


def describe_size(target: Path, precision: Precision, form: Format) -> list[str]:
    """Say how large what was written is, where another type would make it smaller or larger."""
    others = [f"--dtype {each}" for each in form.precisions if each != precision]
    if not others:
        return []
    files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / BYTES_PER_MB
    return [f"{target.name}: {size:.3g} MB, {precision} ({', '.join(others)} for another)"]


def refuse_target(target: Path, base: Path, makes: str = "either", form: str = "") -> None:
    """Refuse to write where something is, into the base, or a file without the ending its readers expect.

    Args:
        makes: see ``Format.makes``.
        form: the format, for messages.

    Raises:
        ParamsError: ``target`` cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise ParamsError(f"{target}: must not exist yet; name another place, or remove it")
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise ParamsError(f"{target}: must lie in a folder, and {parent} is a file; name another place")
    if target.resolve().is_relative_to(base.resolve()):
        raise ParamsError(
            f"{target}: must lie outside the base {base}, which stays as it is; name another place"
        )
    if makes == "file" and target.suffix != ".safetensors":
        raise ParamsError(f"{target}: {form} is one file; name it with .safetensors")
    if makes == "folder" and target.suffix == ".safetensors":
        raise ParamsError(f"{target}: {form} is a folder; name it without .safetensors")
