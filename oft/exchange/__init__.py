"""Exchange with other programs: their adapters in, this project's adapters out.

    from PEFT, all its layouts since 0.14, both Cayley conventions        peft, neumann
    from the paper's reference implementation, both its formats           reference, ldm
    to PEFT; to a merged diffusers checkpoint; to a file of ΔW            exports, merged, delta
    what a saved adapter is                                               description

Files are read without running anything in them: safetensors, or PyTorch's format restricted to tensors.
"""

from oft.exchange.exports import export_adapter
from oft.exchange.imports import import_adapter

__all__ = ["export_adapter", "import_adapter"]
