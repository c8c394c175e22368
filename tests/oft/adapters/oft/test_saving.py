from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import oft
from oft.adapters.hint.encoder import HintEncoder, attach_hint, hinted
from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import inject_magnitude
from oft.adapters.oft.module import inject_oft
from oft.adapters.oft.rotation import cayley, project_skew, skew_from_packed
from oft.adapters.oft.saving import save_adapter
from oft.adapters.targets import UNET_CONTROL_TARGETS
from oft.adapters.tensors import read_tensors, write_tensors
from oft.errors import CheckpointError, ParamsError
from tests.oft.conftest import MLP_TARGETS, Mlp

Turn = Callable[..., None]
Inputs = tuple[Tensor, Tensor, Tensor]
CONFIG = OFTConfig(MLP_TARGETS, num_blocks=2)


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(30, 16, generator=generator)


@pytest.fixture
def saved(mlp: Mlp, turn: Turn, tmp_path: Path) -> Path:
    """A folder with a rotation adapter and magnitudes of ``mlp``, which is left a plain model."""
    model = copy.deepcopy(mlp)
    adapter = inject_oft(model, CONFIG)
    turn(adapter)
    magnitude = inject_magnitude(model, MLP_TARGETS)
    with torch.no_grad():
        for log_scale in magnitude.adapter_parameters():
            log_scale.add_(0.1)
    save_adapter(tmp_path / "saved", adapter, magnitude, base_hash="abc", metadata={"task": "canny_coco"})
    return tmp_path / "saved"


def test_loading_gives_back_what_was_saved(
    unet: Any, unet_inputs: Inputs, turn: Turn, generator: torch.Generator, tmp_path: Path
) -> None:
    twin = copy.deepcopy(unet)
    adapter = inject_oft(unet, OFTConfig(UNET_CONTROL_TARGETS, block_size=8, coft=True, eps=2e-2))
    encoder = HintEncoder(out_channels=32, block_out_channels=(4, 4, 6, 6, 6, 6, 8), generator=generator)
    attach_hint(unet, encoder)
    magnitude = inject_magnitude(unet, UNET_CONTROL_TARGETS)
    turn(adapter)
    with torch.no_grad():
        for parameter in [*magnitude.adapter_parameters(), *encoder.parameters()]:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    save_adapter(tmp_path, adapter, magnitude, encoder, base_hash="abc", base_name="miniature")

    loaded = OrthogonalAdapter.load(tmp_path, twin, base_hash="abc")
    images = torch.rand(2, 3, 64, 64, generator=generator)
    assert loaded.encoder is not None and loaded.magnitude is not None
    assert loaded.rotations.config == adapter.config
    with hinted(unet, encoder(images)), hinted(twin, loaded.encoder(images)):
        assert torch.equal(twin(*unet_inputs).sample, unet(*unet_inputs).sample)
    assert {name: value for name, value in loaded.metadata.items() if name != "convention"} == {
        "base_hash": "abc",
        "base_name": "miniature",
        "project": f"oft-pipeline {oft.__version__}",
        "block_share": "false",
        "block_size": "8",
        "coft": "true",
        "eps": "0.02",
        "eps_convention": "reference",
        "parameter_scale": "none",
        "application": "auto",
        "format": "pt",
        "num_blocks": "",
    }
    trained = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    assert list(map(id, trained)) == list(map(id, loaded.magnitude.adapter_parameters()))


def test_without_magnitudes_the_loaded_adapter_trains_on(mlp: Mlp, tmp_path: Path) -> None:
    twin = copy.deepcopy(mlp)
    save_adapter(tmp_path, inject_oft(mlp, CONFIG), base_hash="abc")
    loaded = OrthogonalAdapter.load(tmp_path, twin)
    assert loaded.magnitude is None and loaded.encoder is None
    assert all(parameter.requires_grad for parameter in loaded.rotations.adapter_parameters())


def test_equal_adapters_give_equal_bytes_and_leave_nothing_behind(
    mlp: Mlp, saved: Path, tmp_path: Path
) -> None:
    loaded = OrthogonalAdapter.load(saved, mlp)
    again = tmp_path / "again"
    save_adapter(again, loaded.rotations, loaded.magnitude, base_hash="abc", metadata={"task": "canny_coco"})
    assert sorted(path.name for path in again.iterdir()) == sorted(path.name for path in saved.iterdir())
    for path in saved.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()
    (again / "notes.txt").touch()
    save_adapter(again, loaded.rotations, base_hash="abc")
    assert sorted(path.name for path in again.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "notes.txt",
    ]


def test_metadata_says_what_is_needed_to_use_the_file(saved: Path) -> None:
    with safe_open(saved / "adapter_model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata["convention"].startswith("x R with R = (I - S)(I + S)^-1")
    assert metadata["base_hash"] == "abc" and metadata["num_blocks"] == "2" and metadata["eps"] == "0.001"
    assert metadata["task"] == "canny_coco" and metadata["format"] == "pt"


def test_written_tensors_are_read_by_safetensors_itself(tmp_path: Path, generator: torch.Generator) -> None:
    tensors = {
        "b": torch.randn(3, 5, generator=generator).T,
        "a": torch.randn(3, generator=generator).bfloat16(),
        "empty": torch.zeros(0, 2),
    }
    write_tensors(tmp_path / "file.safetensors", tensors, {"ключ": "é", "z": "1", "a": "2"})
    read = load_file(tmp_path / "file.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert read_tensors(tmp_path / "file.safetensors")[1] == {"ключ": "é", "z": "1", "a": "2"}


# --- parity with PEFT ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peft() -> Any:
    import peft

    return peft


@pytest.mark.parametrize(
    "config",
    [
        OFTConfig(MLP_TARGETS, num_blocks=2),
        OFTConfig(MLP_TARGETS, num_blocks=4, block_share=True),
        OFTConfig(MLP_TARGETS, block_size=8),
        OFTConfig(MLP_TARGETS, num_blocks=2, coft=True, eps=5e-3),
        OFTConfig(MLP_TARGETS, block_size=4, block_share=True, coft=True, eps=1e-2),
    ],
)
def test_peft_reproduces_our_outputs(
    mlp: Mlp, x: Tensor, turn: Turn, tmp_path: Path, config: OFTConfig, peft: Any
) -> None:
    twin = copy.deepcopy(mlp)
    base = mlp(x)
    adapter = inject_oft(mlp, config)
    turn(adapter)
    save_adapter(tmp_path, adapter, base_hash="abc")
    theirs = peft.PeftModel.from_pretrained(twin, tmp_path)
    expected = mlp(x)
    assert (expected - base).abs().max() > 1e-3
    torch.testing.assert_close(theirs(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(theirs.merge_and_unload()(x), expected, atol=1e-5, rtol=1e-5)


def test_peft_reproduces_our_outputs_on_a_unet(
    unet: Any, unet_inputs: Inputs, turn: Turn, tmp_path: Path, peft: Any
) -> None:
    twin = copy.deepcopy(unet)
    adapter = inject_oft(unet, OFTConfig(UNET_CONTROL_TARGETS, num_blocks=2))
    turn(adapter)
    save_adapter(tmp_path, adapter, base_hash="abc")
    theirs = peft.PeftModel.from_pretrained(twin, tmp_path)
    torch.testing.assert_close(theirs(*unet_inputs).sample, unet(*unet_inputs).sample, atol=1e-5, rtol=1e-5)


def test_a_unet_of_diffusers_takes_the_adapter_itself(
    unet: Any, unet_inputs: Inputs, turn: Turn, tmp_path: Path, peft: Any
) -> None:
    twin = copy.deepcopy(unet)
    adapter = inject_oft(unet, OFTConfig(UNET_CONTROL_TARGETS, block_size=8))
    turn(adapter)
    save_adapter(tmp_path, adapter, base_hash="abc")
    twin.add_adapter(peft.PeftConfig.from_pretrained(tmp_path))
    rotations = load_file(tmp_path / "adapter_model.safetensors")
    outcome = peft.set_peft_model_state_dict(
        twin, {name.removeprefix("base_model.model."): value for name, value in rotations.items()}
    )
    assert not outcome.unexpected_keys
    torch.testing.assert_close(twin(*unet_inputs).sample, unet(*unet_inputs).sample, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("coft", [False, True])
def test_we_reproduce_pefts_outputs(
    mlp: Mlp, x: Tensor, generator: torch.Generator, tmp_path: Path, coft: bool, peft: Any
) -> None:
    config = peft.OFTConfig(
        oft_block_size=8, target_modules=list(MLP_TARGETS), use_cayley_neumann=False, coft=coft, eps=0.3
    )
    theirs = peft.get_peft_model(copy.deepcopy(mlp), config)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "oft_R" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    theirs.save_pretrained(tmp_path)
    OrthogonalAdapter.load(tmp_path, mlp)
    torch.testing.assert_close(mlp(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_pointwise_convolutions_are_pefts_too(generator: torch.Generator, tmp_path: Path, peft: Any) -> None:
    model = nn.ModuleDict({"proj_in": nn.Conv2d(8, 6, 1), "other": nn.Conv2d(1, 1, 1)})
    config = peft.OFTConfig(oft_block_size=4, target_modules=["proj_in"], use_cayley_neumann=False)
    theirs = peft.get_peft_model(copy.deepcopy(model), config)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "oft_R" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    theirs.save_pretrained(tmp_path)
    OrthogonalAdapter.load(tmp_path, model)
    x = torch.randn(2, 8, 5, 4, generator=generator)
    expected = theirs.base_model.model["proj_in"](x)
    torch.testing.assert_close(model["proj_in"](x), expected, atol=1e-5, rtol=1e-5)


def test_pefts_larger_convolutions_are_refused(tmp_path: Path, peft: Any) -> None:
    model = nn.ModuleDict({"conv": nn.Conv2d(4, 6, 3)})
    config = peft.OFTConfig(oft_block_size=4, target_modules=["conv"], use_cayley_neumann=False)
    peft.get_peft_model(copy.deepcopy(model), config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"larger than 1x1 is no rotation .* 'conv' is one"):
        OrthogonalAdapter.load(tmp_path, model)


def test_every_setting_and_convolutions_come_back(generator: torch.Generator, tmp_path: Path) -> None:
    model = nn.ModuleDict({"conv": nn.Conv2d(4, 6, 3, groups=2), "head": nn.Linear(8, 2)})
    twin = copy.deepcopy(model)
    config = OFTConfig(
        r"conv|head",
        block_size=2,
        coft=True,
        eps=0.5,
        eps_convention="peft",
        dropout=0.25,
        parameter_scale="block_size",
        application="input",
    )
    adapter = inject_oft(model, config)
    for packed in adapter.adapter_parameters():
        packed.data.normal_(generator=generator)
    adapter.project()
    magnitude = inject_magnitude(model, ("conv",))
    save_adapter(tmp_path, adapter, magnitude, base_hash="abc")
    loaded = OrthogonalAdapter.load(tmp_path, twin, base_hash="abc")
    assert loaded.rotations.config == config
    x = torch.randn(2, 4, 5, 5, generator=generator)
    model.eval(), twin.eval()
    assert torch.equal(twin["conv"](x), model["conv"](x))


def test_rotations_and_projection_are_pefts(generator: torch.Generator, peft: Any) -> None:
    from peft.tuners.oft.layer import OFTRotationModule

    packed = torch.randn(3, 28, generator=generator) * 0.3
    theirs = OFTRotationModule(3, 28, 8, 24, use_cayley_neumann=False)
    torch.testing.assert_close(
        cayley(skew_from_packed(packed)), theirs._cayley_batch(packed, 8, False), atol=2e-6, rtol=0
    )
    eps = 2e-2  # in our convention; PEFT's is b² times that
    bound = eps * 8**2 / 3**0.5
    torch.testing.assert_close(project_skew(packed, bound), theirs._project_batch(packed, eps=eps * 8**2))


# --- what cannot be loaded ----------------------------------------------------------------------------------


def refuse(folder: Path, model: nn.Module, message: str, base_hash: str | None = "abc") -> None:
    names = list(model.state_dict())
    with pytest.raises(CheckpointError, match=message):
        OrthogonalAdapter.load(folder, model, base_hash=base_hash)
    assert list(model.state_dict()) == names, "the model was touched"
    assert all(type(module).__name__ != "AdaptedLinear" for module in model.modules())


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(mlp: Mlp, saved: Path, name: str) -> None:
    (saved / name).unlink()
    refuse(saved, mlp, rf"{name}: an adapter needs this file, and it is missing")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "magnitude.safetensors"])
def test_a_truncated_file_is_named(mlp: Mlp, saved: Path, name: str) -> None:
    (saved / name).write_bytes((saved / name).read_bytes()[:-10])
    refuse(saved, mlp, rf"{name}: must be a whole safetensors file")


def test_another_base_is_refused(mlp: Mlp, saved: Path) -> None:
    refuse(saved, mlp, "of hash def, and was trained on abc", base_hash="def")
    OrthogonalAdapter.load(saved, mlp, base_hash=None)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "magnitude.safetensors"])
def test_files_of_different_bases_do_not_mix(mlp: Mlp, saved: Path, tmp_path: Path, name: str) -> None:
    model = copy.deepcopy(mlp)
    adapter, other = inject_oft(model, CONFIG), tmp_path / "other"
    save_adapter(other, adapter, inject_magnitude(model, MLP_TARGETS), base_hash="def")
    shutil.copy(other / name, saved / name)
    refuse(saved, mlp, rf"{name}: must belong to the base in use")


def test_another_architecture_is_refused(saved: Path, generator: torch.Generator) -> None:
    model = Mlp(generator)
    model.to_q = nn.Linear(32, 24)
    refuse(saved, model, r"1 of another shape: to_q is \[2, 28\], not \[2, 120\]; use the base")
    refuse(saved, nn.ModuleDict({"to_q": nn.Linear(16, 24)}), r"adapter_config.json: .*'to_out.0' names none")
    two = nn.ModuleDict({"a": Mlp(generator), "b": Mlp(generator)})
    refuse(saved, two, r"adapter_model.safetensors must .* 4 missing: a.to_q, .*2 unexpected: to_o")


def test_magnitudes_of_another_architecture_are_refused(mlp: Mlp, saved: Path) -> None:
    save_file({"to_q.log_scale": torch.zeros(3)}, saved / "magnitude.safetensors")
    refuse(saved, mlp, r"magnitude.safetensors must .*: to_q is \[3\], not \[24\]")
    save_file({"to_p.log_scale": torch.zeros(3)}, saved / "magnitude.safetensors")
    refuse(saved, mlp, r"magnitude.safetensors must .*1 unexpected: to_p;")


def test_a_hint_encoder_of_another_architecture_is_refused(mlp: Mlp, saved: Path) -> None:
    encoder = HintEncoder(out_channels=8, generator=torch.Generator())
    file = saved / "hint_encoder.safetensors"
    save_file(encoder.state_dict(), file)
    refuse(saved, mlp, r"the last width \(8\) must be that of the UNet's conv_in \(None\)")
    save_file({name: v for name, v in encoder.state_dict().items() if name != "convs.2.bias"}, file)
    refuse(saved, mlp, r"1 missing: convs.2.bias;")
    save_file({"x": torch.zeros(1)}, file)
    refuse(saved, mlp, r"must hold convs.<i>.weight, got \['x'\]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_cayley_neumann": True}, "use_cayley_neumann must be false"),
        ({"peft_type": "LORA"}, "got peft_type 'LORA'"),
        ({"target_modules": {"to_q": 1}}, r"target_modules \{'to_q': 1\}"),
        ({"oft_block_size": 8}, r"exactly one of num_blocks \(2\) and block_size \(8\)"),
        ({"coft": "false"}, "coft must be true or false, got 'false'"),
        ({"r": 3}, r"num_blocks \(3\) must cut"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    mlp: Mlp, saved: Path, change: dict[str, Any], message: str
) -> None:
    file = saved / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    refuse(saved, mlp, rf"adapter_config.json: .*{message}")


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_config_is_refused(mlp: Mlp, saved: Path, text: str) -> None:
    (saved / "adapter_config.json").write_text(text)
    refuse(saved, mlp, "adapter_config.json: must be PEFT's JSON")


def test_other_tensors_are_refused(mlp: Mlp, saved: Path) -> None:
    save_file({"unet.lora_A.weight": torch.zeros(1)}, saved / "adapter_model.safetensors")
    refuse(saved, mlp, "every name must be base_model.model.<layer>.oft_R.weight, got 'unet.lora_A.weight'")


def test_a_model_that_has_an_adapter_is_refused(mlp: Mlp, saved: Path) -> None:
    OrthogonalAdapter.load(saved, mlp)
    with pytest.raises(ParamsError, match="has one already"):
        OrthogonalAdapter.load(saved, mlp)
