"""Refuse settings of adapters before a run, where the library behind a kind alone can judge them."""

from __future__ import annotations

from collections.abc import Mapping

from oft.adapters.protocol import AdapterSettings
from oft.adapters.registry import METHODS
from oft.errors import ParamsError


def check_adapters(adapters: Mapping[str, AdapterSettings]) -> None:
    """Refuse adapters whose kinds refuse their settings, all of them at once.

    Raises:
        ParamsError: it names each adapter with what is wrong with it.
    """
    faults = []
    for name, settings in adapters.items():
        try:
            METHODS[settings.method].check(settings)
        except ParamsError as fault:
            faults.append(f"  - adapters.{name}: {fault}")
    if faults:
        raise ParamsError(f"params.yaml: {len(faults)} adapter(s) cannot be made:\n" + "\n".join(faults))
