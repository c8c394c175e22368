"""The commands count, energy and info: what they print, and how they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.cli import app, main
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import load_base
from oft.params import load_params
from tests.conftest import ROOT


def run(*arguments: str | Path) -> str:
    """Return what a command that succeeds prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def one_line(*arguments: str | Path) -> dict[str, Any]:
    printed = run(*arguments)
    assert printed.endswith("\n") and printed.count("\n") == 1
    value: dict[str, Any] = json.loads(printed)
    return value


@pytest.fixture(scope="module")
def adapter_folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the miniature base, away from identity, with a hint encoder."""
    generator = torch.Generator().manual_seed(0)
    base = load_base(base_folder)
    settings = load_params(ROOT / "params.yaml").adapters["oft"]
    loaded = init_adapter(base, settings, with_condition=True, generator=generator)
    assert isinstance(loaded, OrthogonalAdapter)
    with torch.no_grad():
        for parameter in loaded.rotations.adapter_parameters():
            parameter.normal_(std=0.1, generator=generator)
    folder = tmp_path_factory.mktemp("adapter")
    save_with_base(folder, loaded, base)
    return folder


@pytest.mark.parametrize("command", ["count", "energy", "info"])
def test_help_teaches_with_an_example(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert f"For example: oft {command} " in run(command, "--help")


def test_count_prints_one_line_of_json() -> None:
    counted = one_line("count", "--architecture", "sd15", "--num-blocks", "4")
    assert counted["rotation"] == 13_144_928 and counted["hint_encoder"] == 1_086_480
    assert counted["total"] == 13_144_928 + 1_086_480 and counted["base"] == 859_520_964


def test_count_hands_on_every_option() -> None:
    subject = ("--targets", "subject", "--block-size", "64", "--block-share")
    shared = one_line("count", "--architecture", "sd15", *subject)
    assert shared["rotation"] == 128 * 64 * 63 // 2
    lora = one_line("count", "--architecture", "sd21", "--adapter", "lora", "--rank", "4")
    assert (lora["adapter"], lora["rank"], lora["layers"]) == ("lora", 4, 144)


def test_a_users_fault_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments, message in {
        ("count", "--architecture", "sd15", "--num-blocks", "2", "--rank", "4"): "got rank 4 as well",
        ("info", str(tmp_path)): f"{tmp_path}: an adapter's folder holds adapter_model.safetensors",
        ("energy", str(tmp_path)): f"{tmp_path / 'base.json'} is missing",
    }.items():
        monkeypatch.setattr(sys, "argv", ["oft", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        captured = capsys.readouterr()
        assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_energy_is_kept_by_a_rotation(base_folder: Path, adapter_folder: Path) -> None:
    alone = one_line("energy", base_folder)
    adapted = one_line("energy", base_folder, adapter_folder)
    assert alone["adapter"] is None and adapted["adapter"] == str(adapter_folder)
    assert adapted["base_hash"] == alone["base_hash"] and adapted["layers"] == alone["layers"] > 0
    assert adapted["energy_before"] == pytest.approx(alone["energy"], rel=1e-12)
    assert 0 < adapted["energy_change"] <= 1e-5 and 0 < adapted["orthogonality_error"] <= 1e-6


def test_energy_per_layer_is_a_table_over_the_line(base_folder: Path, adapter_folder: Path) -> None:
    header, *rows, line = run("energy", base_folder, adapter_folder, "--per-layer").splitlines()
    summary = json.loads(line)
    assert header.split() == ["layer", "energy_before", "energy_after", "energy_change"]
    assert len(rows) == summary["layers"] and len({len(row) for row in [header, *rows]}) == 1
    assert sum(float(row.split()[1]) for row in rows) == pytest.approx(summary["energy_before"], rel=1e-6)
    largest = max(abs(float(row.split()[3])) for row in rows)
    assert largest == pytest.approx(summary["energy_change"], rel=1e-6)


def test_info_is_for_people_or_one_line_of_json(adapter_folder: Path, base_folder: Path) -> None:
    described = one_line("info", adapter_folder, "--json")
    assert described["kind"] == "adapter" and described["base_hash"] == load_base(base_folder).hash
    text = run("info", adapter_folder)
    assert text.startswith(f"{adapter_folder}: an OFT adapter\n") and described["base_hash"] in text
    rotation = one_line("info", adapter_folder / "adapter_model.safetensors", "--json")
    assert rotation["kind"] == "rotation"
    assert rotation["parameters"] == {"rotation": described["parameters"]["rotation"]}
