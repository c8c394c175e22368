"""Settings that only the library behind a kind can judge are refused before a run, all at once."""

from __future__ import annotations

from typing import Any

import pytest

from oft.adapters.checking import check_adapters
from oft.errors import ParamsError
from oft.params import parse_params


def test_every_fault_is_named_with_its_adapter(values: dict[str, Any]) -> None:
    values["adapters"]["typo"] = {"method": "peft", "type": "LORRA"}
    values["adapters"]["unknown"] = {"method": "peft", "type": "HRA", "rr": 3}
    adapters = parse_params(values).adapters
    with pytest.raises(ParamsError) as error:
        check_adapters(adapters)
    lines = str(error.value).splitlines()
    assert lines[0] == "params.yaml: 2 adapter(s) cannot be made:"
    assert lines[1].startswith("  - adapters.typo: type: must be one of PEFT's tuners")
    assert lines[2].startswith("  - adapters.unknown: rr: HRA has no such setting")


def test_the_adapters_that_ship_pass(values: dict[str, Any]) -> None:
    check_adapters(parse_params(values).adapters)
