"""The stage `init` carries an adapter's own learning rates, which its trainings depend on through it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from oft.errors import ParamsError
from oft.params import parse_params
from oft.storage import dump_yaml, read_json
from stages import init

ARGUMENTS = ["--task", "segm_ade20k", "--adapter", "tried"]


@pytest.fixture
def folder(base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(base_folder, tmp_path / "data" / "models" / "base")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_params(folder: Path, values: dict[str, Any], **entry: Any) -> None:
    values["adapters"]["tried"] = {"method": "hint", **entry}
    values["control_adapters"] = ["oft", "hint", "tried"]
    (folder / "params.yaml").write_text(dump_yaml(values))


def test_a_rate_of_its_own_is_trained_with_and_kept(folder: Path, values: dict[str, Any]) -> None:
    write_params(folder, values, learning_rates={"train": 5e-4})
    init.main(ARGUMENTS)
    made = folder / "runs" / "segm_ade20k" / "tried" / "init"
    assert read_json(made / "learning_rates.json") == {"train": 5e-4}
    params = parse_params(values)
    assert params.training_of("segm_ade20k", "tried").learning_rate == 5e-4
    assert params.training_of("segm_ade20k", "oft") == params.train


def test_without_one_the_sections_holds(folder: Path, values: dict[str, Any]) -> None:
    write_params(folder, values)
    init.main(ARGUMENTS)
    assert not (folder / "runs" / "segm_ade20k" / "tried" / "init" / "learning_rates.json").exists()
    params = parse_params(values)
    assert params.training_of("segm_ade20k", "tried") == params.train


def test_a_rate_for_no_training_is_refused(values: dict[str, Any]) -> None:
    values["adapters"]["tried"] = {"method": "hint", "learning_rates": {"trian": 1e-3}}
    with pytest.raises(ParamsError, match=r"adapters\.tried\.learning_rates"):
        parse_params(values)


def test_what_peft_refuses_is_named_with_its_adapter(folder: Path, values: dict[str, Any]) -> None:
    write_params(folder, values, method="peft", type="LORA", rank=4)
    with pytest.raises(ParamsError, match=r"adapters\.tried: rank: LORA has no such setting"):
        init.main(ARGUMENTS)
