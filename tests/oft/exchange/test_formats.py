"""The registries of formats and sources: help, docs and refusals are made of them. PEFT's base."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import typer

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.cli import app
from oft.errors import ParamsError
from oft.exchange import export_adapter, formats, sources
from oft.exchange.formats import FORMATS, ExportOptions, takers
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import load_base
from oft.params import parse_params
from oft.seeding import generator_for
from tests.adapters import move
from tests.conftest import ROOT

from .conftest import Inputs, output

GIVEN: dict[str, Any] = {"strength": 0.5, "rank": 4, "energy": 0.5, "allow_error": True, "local_base": False}


def test_the_docs_have_every_format_and_source() -> None:
    page = (ROOT / "docs" / "exchange.md").read_text(encoding="utf-8")
    assert formats.markdown_table() in page and sources.markdown_table() in page


def test_help_names_every_format_and_source() -> None:
    commands: Any = typer.main.get_command(app)
    exported, imported = (commands.commands[name] for name in ("export", "import"))
    (form,) = (each for each in exported.params if each.name == "form")
    assert all(f"{each.name}: for {each.program}" in form.help for each in FORMATS.values())
    assert all(each.program in imported.help for each in sources.SOURCES)


def test_formats_are_listed_without_torch() -> None:
    code = "import sys, oft.cli; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("form", FORMATS)
def test_a_format_refuses_what_it_does_not_take(
    adapter_folder: Path, base_folder: Path, tmp_path: Path, form: str, name: str
) -> None:
    if name in FORMATS[form].takes:
        assert form in takers(name)
        return
    target = tmp_path / ("x" if FORMATS[form].makes == "folder" else "x.safetensors")
    options = ExportOptions(**{name: GIVEN[name]})
    with pytest.raises(ParamsError, match=rf"--{name.replace('_', '-')} \(.*\) is for the formats .*{form}"):
        export_adapter(adapter_folder, base_folder, target, form, options=options)
    assert not target.exists()


def test_an_unknown_format_is_named(adapter_folder: Path, base_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"--format \(lycoris\) must be one of peft, lora"):
        export_adapter(adapter_folder, base_folder, tmp_path / "x", "lycoris")


# --- PEFT's folder ------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoPeftModel asks the hub for a tokenizer."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_auto_peft_model_finds_the_base_on_this_machine(
    adapter_folder: Path, base_folder: Path, unet: Any, unet_inputs: Inputs, tmp_path: Path
) -> None:
    export_adapter(adapter_folder, base_folder, tmp_path / "peft", "peft")
    theirs = peft.AutoPeftModel.from_pretrained(str(tmp_path / "peft"))
    OrthogonalAdapter.load(tmp_path / "peft", unet)
    expected = output(unet, unet_inputs)
    found = output(theirs.float(), unet_inputs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_folder_for_others_does_not_name_this_machines(
    adapter_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    options = ExportOptions(local_base=False)
    export_adapter(adapter_folder, base_folder, tmp_path / "peft", "peft", options=options)
    assert str(base_folder.parent) not in (tmp_path / "peft" / "adapter_config.json").read_text()


def test_a_base_of_the_hub_is_named_by_repository_and_commit(
    base_folder: Path, values: dict[str, Any], unet_inputs: Inputs, tmp_path: Path, monkeypatch: Any
) -> None:
    """A folder of the repository's name stands in for the hub; AutoPeftModel reads both by subfolder."""
    commit = "a" * 40
    monkeypatch.chdir(tmp_path)
    base = Path(shutil.copytree(base_folder, "owner/model"))
    card = json.loads((base / "base.json").read_text())
    (base / "base.json").write_text(json.dumps({**card, "origin": f"owner/model@{commit}"}))
    for name, entry in {"oft": {"method": "oft", "num_blocks": 4}, "hra": None}.items():
        values["adapters"]["tried"] = entry or {"method": "peft", "type": "HRA", "r": 4}
        loaded = load_base(base)
        settings = parse_params(values).adapters["tried"]
        adapter = init_adapter(loaded, settings, with_condition=False, generator=generator_for(0))
        move(adapter, 1e-2)
        save_with_base(Path(name) / "saved", adapter, loaded)
        export_adapter(Path(name) / "saved", base, Path(name) / "unet", "peft")
        for folder in ("saved", "unet"):
            config = json.loads((Path(name) / folder / "adapter_config.json").read_text())
            assert (config["base_model_name_or_path"], config["revision"]) == ("owner/model", commit)
        theirs = peft.AutoPeftModel.from_pretrained(name, subfolder="unet")
        expected = output(loaded.unet, unet_inputs)
        torch.testing.assert_close(output(theirs.float(), unet_inputs), expected, atol=1e-4, rtol=1e-4)


def test_text_encoders_of_peft_name_theirs(base_folder: Path, values: dict[str, Any], tmp_path: Path) -> None:
    values["adapters"]["dreambooth_lora"] |= {"train_text_encoder": True}
    base = load_base(base_folder)
    settings = parse_params(values).adapters["dreambooth_lora"]
    adapter = init_adapter(base, settings, with_condition=False, generator=generator_for(0))
    save_with_base(tmp_path / "saved", adapter, base)
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "peft", "peft")
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base_folder.resolve() / "unet")
    assert config["auto_mapping"]["base_model_class"] == "UNet2DConditionModel"
