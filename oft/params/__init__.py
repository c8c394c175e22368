"""params.yaml as typed objects: the sections together, the rules between them, and faults in words."""

from oft.params.model import (
    PARAMS_FILE,
    Params,
    Pretraining,
    load_params,
    parse_params,
)

__all__ = [
    "PARAMS_FILE",
    "Params",
    "Pretraining",
    "load_params",
    "parse_params",
]
