"""Adapters that cannot be made are named before a run: by their library, and by the shapes of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oft.doctor.adapters import check_adapters, unet_config
from oft.doctor.finding import Scope
from oft.params import parse_params
from tests.conftest import ROOT


def faults(values: dict[str, Any], stages: set[str] | None = None) -> dict[str, str]:
    found = check_adapters(parse_params(values), ROOT, Scope(stages))
    return {one.about: one.message for one in found if one.level == "fault"}


def test_every_fault_is_named_with_its_adapter(values: dict[str, Any]) -> None:
    values["adapters"]["typo"] = {"method": "peft", "type": "LORRA"}
    values["adapters"]["unknown"] = {"method": "peft", "type": "HRA", "rr": 3}
    values["adapters"]["uneven"] = {"method": "oft", "num_blocks": 7}
    values["adapters"]["nowhere"] = {"method": "oft", "num_blocks": 1, "target_modules": ["to_z"]}
    names = ["typo", "unknown", "uneven", "nowhere", "oft"]
    values["control_adapters"] = names
    found = faults(values)
    assert list(found) == [f"adapters.{name}" for name in names[:-1]]
    assert found["adapters.typo"].startswith("type: must be one of PEFT's tuners")
    assert found["adapters.unknown"].startswith("rr: HRA has no such setting")
    assert "7" in found["adapters.uneven"]
    assert "to_z" in found["adapters.nowhere"]


def test_a_tuner_whose_sizes_do_not_divide_is_refused_by_its_layers(values: dict[str, Any]) -> None:
    values["adapters"]["c3a"] = {"method": "peft", "type": "C3A", "block_size": 7}
    values["control_adapters"] = ["oft", "c3a"]
    assert "C3A" in faults(values)["adapters.c3a"]


def test_the_adapters_that_ship_can_be_made(values: dict[str, Any]) -> None:
    control = {"dreambooth", "dreambooth_lora"}
    values["control_adapters"] = [name for name in values["adapters"] if name not in control]
    values["subject_adapters"] = [*sorted(control), "oft", "lora", "full"]
    assert faults(values) == {}


def test_what_is_not_about_to_be_made_is_not_looked_at(values: dict[str, Any]) -> None:
    values["adapters"]["typo"] = {"method": "peft", "type": "LORRA"}
    values["control_adapters"] = ["typo", "oft"]
    assert faults(values, {"init@segm_ade20k-oft", "evaluate@segm_ade20k-typo"}) == {}
    assert list(faults(values, {"init@segm_ade20k-typo"})) == ["adapters.typo"]


@pytest.mark.parametrize(("config", "width"), [("sd15", 320), ("sd21", 320)])
def test_the_layers_of_a_single_file_are_known_from_its_configuration(
    values: dict[str, Any], tmp_path: Path, config: str, width: int
) -> None:
    (tmp_path / "model.safetensors").touch()
    values["base"] |= {"source": "model.safetensors", "config": config}
    found = unet_config(parse_params(values), tmp_path, Scope())
    assert found is not None
    assert found["block_out_channels"][0] == width


def test_those_of_the_hub_are_not_known_before_it_is_fetched(values: dict[str, Any], tmp_path: Path) -> None:
    values["base"]["source"] = f"owner/name@{'0' * 40}"
    assert unet_config(parse_params(values), tmp_path, Scope()) is None
