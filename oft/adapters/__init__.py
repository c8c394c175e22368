"""Adapters: what is trained on top of a frozen base."""

from oft.adapters.adapter import activate
from oft.adapters.hint_encoder import HintEncoder, attach_hint, detach_hint, hint
from oft.adapters.interop import LoadedAdapter, load_adapter, save_adapter
from oft.adapters.magnitude import MagnitudeAdapter, inject_magnitude
from oft.adapters.oft import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS, OFTAdapter, OFTConfig, inject_oft

__all__ = [
    "UNET_CONTROL_TARGETS",
    "UNET_SUBJECT_TARGETS",
    "HintEncoder",
    "LoadedAdapter",
    "MagnitudeAdapter",
    "OFTAdapter",
    "OFTConfig",
    "activate",
    "attach_hint",
    "detach_hint",
    "hint",
    "inject_magnitude",
    "inject_oft",
    "load_adapter",
    "save_adapter",
]
