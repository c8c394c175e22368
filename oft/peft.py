"""PEFT's own OFT tuner, exact and fast: ``oft.peft.enable()``; see ``oft.adapters.peft.exact``."""

from oft.adapters.peft.exact import disable, enable, enabled

__all__ = ["disable", "enable", "enabled"]
