"""`oft export`, `oft import`, `oft merge`: from the command line and back; faults as one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import inject_oft
from oft.adapters.oft.saving import save_adapter
from oft.adapters.targets import UNET_SUBJECT_TARGETS
from oft.cli import app, main
from oft.exchange.bases import identify_base, load_unet


@pytest.fixture(scope="module")
def adapter(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "robot"
    made = inject_oft(load_unet(base_folder), OFTConfig(UNET_SUBJECT_TARGETS, num_blocks=8))
    for packed in made.adapter_parameters():
        packed.data.fill_(0.01)
    save_adapter(folder, made, base_hash=identify_base(base_folder).hash)
    return folder


def oft(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_an_adapter_goes_out_and_comes_back(adapter: Path, base_folder: Path, tmp_path: Path) -> None:
    assert oft("export", adapter, base_folder, tmp_path / "peft").strip() == str(tmp_path / "peft")
    oft("import", tmp_path / "peft", tmp_path / "back", "--base", base_folder)
    file = "adapter_model.safetensors"
    assert load_file(adapter / file).keys() == load_file(tmp_path / "back" / file).keys()


def test_merge_is_an_export_to_diffusers(adapter: Path, base_folder: Path, tmp_path: Path) -> None:
    oft("merge", adapter, base_folder, tmp_path / "merged")
    oft("export", adapter, base_folder, tmp_path / "exported", "--format", "diffusers")
    for path in (tmp_path / "merged").rglob("*.safetensors"):
        other = tmp_path / "exported" / path.relative_to(tmp_path / "merged")
        assert path.read_bytes() == other.read_bytes()


def test_differences_are_written_in_the_type_asked_for(
    adapter: Path, base_folder: Path, tmp_path: Path
) -> None:
    sizes = {}
    for dtype in ("fp32", "fp16"):
        target = tmp_path / f"{dtype}.safetensors"
        oft("export", adapter, base_folder, target, "--format", "delta", "--dtype", dtype)
        sizes[dtype] = sum(value.nbytes for value in load_file(target).values())
    assert sizes["fp32"] == 2 * sizes["fp16"] > 0


def test_a_fault_is_one_line(
    base_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["oft", "import", "nowhere.ckpt", "out", "--base", str(base_folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert (
        capsys.readouterr().err == "nowhere.ckpt: must be a file or folder of weights, and does not exist\n"
    )


@pytest.mark.parametrize("command", ["export", "import", "merge"])
def test_help_teaches_by_example(command: str) -> None:
    assert f"Example: oft {command}" in oft(command, "--help")
