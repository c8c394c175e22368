"""Kinds of adapters by name. A new kind: its own file or folder, and its ``METHOD`` in the tuple below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from oft.adapters.controlnet.method import METHOD as CONTROLNET
from oft.adapters.files import HINT_ENCODER_FILE
from oft.adapters.full.method import METHOD as FULL
from oft.adapters.hint.method import METHOD as HINT
from oft.adapters.oft.method import METHOD as OFT
from oft.adapters.peft.method import METHOD as PEFT
from oft.adapters.protocol import Adapter, AdapterSettings, Method
from oft.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import nn

METHODS: dict[str, Method] = {method.name: method for method in (PEFT, OFT, CONTROLNET, FULL, HINT)}
# The folder of results of the base alone, beside those of adapters.
BASE_ALONE = "none"


def create_adapter(
    unet: nn.Module, settings: AdapterSettings, *, with_condition: bool, generator: torch.Generator
) -> Adapter:
    """Put a new adapter on ``unet``, which still draws what it drew before; see ``Adapter.create``."""
    adapter_class = METHODS[settings.method].load_class()
    return adapter_class.create(unet, settings, with_condition=with_condition, generator=generator)


def load_adapter(folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> Adapter:
    """Put the adapter saved in ``folder``, of whichever kind, on ``unet``; see ``Adapter.load``.

    Raises:
        CheckpointError: no kind knows the files, or one is damaged or belongs to another base.
        ParamsError: the UNet carries an adapter already.
    """
    return recognise(folder).load_class().load(folder, unet, base_hash=base_hash)


def recognise(folder: Path) -> Method:
    """Return the kind of the adapter saved in ``folder``.

    Raises:
        CheckpointError: no kind knows its files.
    """
    folder = Path(folder)
    for method in METHODS.values():
        if method.recognises(folder):
            return method
    names = sorted(path.name for path in folder.iterdir())[:5] if folder.is_dir() else []
    raise CheckpointError(
        f"{folder}: an adapter of a known kind ({', '.join(METHODS)}) must lie here, and there is "
        f"{', '.join(names) or 'nothing'}; give the folder that a training wrote"
    )


def takes_condition(folder: Path) -> bool:
    """Return whether the adapter saved in ``folder`` takes a conditioning image, without loading it.

    Raises:
        CheckpointError: no kind knows its files.
    """
    return recognise(folder).needs_condition or (Path(folder) / HINT_ENCODER_FILE).is_file()
