"""Exchange with other programs: their adapters in, this project's adapters out.

    out: one file for each format                                     formats/
         of ΔW, whole or of low rank; merged; with code of its own    delta, lora, merged, control, community/
         rotations for truncated arithmetic                           fitting, series
    in:  which program wrote a file                                   sources, imports
         PEFT, all its layouts since 0.14, both Cayley conventions    peft, neumann
         kohya's oft_v2 and OneTrainer; OFT on the output side        oft_v2, output_side
         the paper's reference implementation, both its formats       reference, ldm
    what a saved adapter is                                           description

Files are read without running anything in them: safetensors, or PyTorch's format restricted to tensors.
Public names are imported when they are first used: the command line lists formats without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oft.exchange.exports import export_adapter
    from oft.exchange.imports import import_adapter

_HOMES = {"export_adapter": "exports", "import_adapter": "imports"}

__all__ = ["export_adapter", "import_adapter"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
