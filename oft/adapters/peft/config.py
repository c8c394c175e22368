"""A tuner's configuration from settings and from a saved folder; every fault of it in words."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import peft
from peft.tuners.tuners_utils import BaseTuner

from oft.adapters.peft.method import PeftSettings
from oft.errors import ParamsError

# Settings that load or write something elsewhere, or choose weights that the adapter's file would not have.
_REFUSED = {
    "modules_to_save": "whole modules of the base would be trained beside the tuner",
    "corda_config": "the start depends on data",
    "eva_config": "the start depends on data",
    "loftq_config": "the base would be quantised",
    "use_asa": "its running averages are kept outside the trained parameters, so a training could not resume",
}
# Tuners of layers that a UNet does not have, that want more than its inputs, or that draw anew in each call.
_NOT_FOR_A_UNET = ("POLY", "PVERA", "SHADOW", "TRAINABLE_TOKENS", "XLORA")


def tuner_types() -> list[str]:
    """Return the names of PEFT's tuners that change layers of a UNet, as prompts and prefixes do not."""
    return sorted(
        str(kind.value)
        for kind, tuner_class in peft.PEFT_TYPE_TO_TUNER_MAPPING.items()
        if issubclass(tuner_class, BaseTuner)
        and kind.value not in _NOT_FOR_A_UNET
        and "target_modules" in _fields(peft.PEFT_TYPE_TO_CONFIG_MAPPING[kind])
    )


def _fields(config_class: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(config_class) if field.init]


def make_config(settings: PeftSettings, targets: Sequence[str] | str) -> Any:
    """Return PEFT's configuration of the tuner.

    Args:
        targets: layers to adapt, as PEFT names them.

    Raises:
        ParamsError: there is no such tuner, it has no such setting, or it refuses a value.
    """
    known = tuner_types()
    if settings.type not in known:
        near = difflib.get_close_matches(settings.type, known, n=3, cutoff=0.4)
        raise ParamsError(
            f"type: must be one of PEFT's tuners of layers ({', '.join(known)}), and is {settings.type!r}"
            + (f"; near it: {', '.join(near)}" if near else "")
        )
    config_class = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(settings.type)]
    fields = _fields(config_class)
    for name in settings.own:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=3)
            raise ParamsError(
                f"{name}: {settings.type} has no such setting"
                + (
                    f"; did you mean {' or '.join(near)}?"
                    if near
                    else f"; it has {', '.join(sorted(fields))}"
                )
            )
        if name in _REFUSED and settings.own[name]:
            raise ParamsError(f"{name}: cannot be used here: {_REFUSED[name]}; leave it out")
    defaults: dict[str, Any] = {"feedforward_modules": []} if "feedforward_modules" in fields else {}
    chosen = targets if isinstance(targets, str) else list(targets)
    return _made(config_class, settings.type, {**defaults, **settings.own, "target_modules": chosen})


def read_config(values: Mapping[str, Any], what: str) -> Any:
    """Return the configuration in a saved ``adapter_config.json``; ``what`` names it in messages.

    Settings that a newer PEFT wrote and this one does not know are left out if they are off.

    Raises:
        ParamsError: there is no such tuner here, or it refuses a value.
    """
    tuner = str(values.get("peft_type"))
    if tuner not in tuner_types():
        raise ParamsError(f"{what}: peft_type must be one of {', '.join(tuner_types())}, and is {tuner!r}")
    config_class = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(tuner)]
    fields = _fields(config_class)
    unknown = [
        name for name, value in values.items() if name not in fields and value and name not in _IGNORED
    ]
    if unknown:
        raise ParamsError(
            f"{what}: {tuner} of PEFT {peft.__version__} does not know {', '.join(unknown)}; "
            "use the release of PEFT that wrote it"
        )
    for name, reason in _REFUSED.items():
        if values.get(name):
            raise ParamsError(f"{what}: {name} cannot be used here: {reason}")
    return _made(config_class, f"{what}: {tuner}", {k: v for k, v in values.items() if k in fields})


_IGNORED = ("peft_type", "peft_version")


def _made(config_class: Any, what: str, values: Mapping[str, Any]) -> Any:
    try:
        return config_class(**values)
    except (ValueError, TypeError, NotImplementedError, ImportError) as fault:
        raise ParamsError(f"{what} refuses its settings: {fault}") from fault


def config_values(config: Any) -> dict[str, Any]:
    """Return a configuration as plain values in one order: what ``adapter_config.json`` holds."""
    values = {**config.to_dict(), "peft_version": peft.__version__}
    return {name: _plain(value) for name, value in sorted(values.items())}


def _plain(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)  # the order of a set of texts differs from process to process
    return str(getattr(value, "value", value)) if isinstance(value, str) else value
