"""Adapters: what is trained on top of a frozen base.

Public names are imported when they are first used: params.yaml is read with the kinds' settings, and reading
it must not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oft.adapters.hint.encoder import HintEncoder, attach_hint, detach_hint, hinted
    from oft.adapters.oft.config import OFTConfig
    from oft.adapters.oft.layer_adapter import activate
    from oft.adapters.oft.magnitude import MagnitudeAdapter, inject_magnitude
    from oft.adapters.oft.module import OFTAdapter, inject_oft
    from oft.adapters.oft.saving import save_adapter
    from oft.adapters.protocol import Adapter
    from oft.adapters.registry import load_adapter
    from oft.adapters.targets import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS

_HOMES = {
    "hint.encoder": ("HintEncoder", "attach_hint", "detach_hint", "hinted"),
    "oft.config": ("OFTConfig",),
    "oft.layer_adapter": ("activate",),
    "oft.magnitude": ("MagnitudeAdapter", "inject_magnitude"),
    "oft.module": ("OFTAdapter", "inject_oft"),
    "oft.saving": ("save_adapter",),
    "protocol": ("Adapter",),
    "registry": ("load_adapter",),
    "targets": ("UNET_CONTROL_TARGETS", "UNET_SUBJECT_TARGETS"),
}

__all__ = [
    "UNET_CONTROL_TARGETS",
    "UNET_SUBJECT_TARGETS",
    "Adapter",
    "HintEncoder",
    "MagnitudeAdapter",
    "OFTAdapter",
    "OFTConfig",
    "activate",
    "attach_hint",
    "detach_hint",
    "hinted",
    "inject_magnitude",
    "inject_oft",
    "load_adapter",
    "save_adapter",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
