"""Adapters of PEFT, of both Cayley conventions and of its old layout: outputs equal to PEFT's own."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from oft.adapters.oft.rotation import cayley, skew_from_packed
from oft.adapters.oft.saving import PEFT_PREFIX
from oft.errors import CheckpointError, ParamsError
from oft.exchange.foreign import ForeignAdapter, inject_foreign
from oft.exchange.imports import read_foreign
from oft.exchange.peft import TruncatedAdapter
from oft.exchange.sources import ReadOptions
from oft.exchange.weights import truncated_weights

from .conftest import Inputs, linear_names, output, reference_weight

TARGETS = ("attn1.to_q", "attn2.to_k", "attn2.to_out.0", "ff.net.0.proj")


@pytest.fixture(scope="module")
def peft() -> Any:
    import peft

    return peft


def make(peft: Any, unet: Any, folder: Path, std: float = 0.05, **options: Any) -> Any:
    """Save a PEFT adapter away from identity on a copy of ``unet``; return that copy."""
    options = {"target_modules": list(TARGETS), "oft_block_size": 16} | options
    theirs = peft.get_peft_model(copy.deepcopy(unet), peft.OFTConfig(**options)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "oft_R" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    theirs.save_pretrained(folder)
    return theirs


OPTIONS = [
    {},
    {"oft_block_size": 0, "r": 4},
    {"block_share": True},
    {"coft": True, "eps": 0.2},
    {"coft": True, "eps": 0.2, "block_share": True},
    {"target_modules": r".*down_blocks.*attn1\.to_(q|k)"},
    {"exclude_modules": ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"]},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_exact_transform_gives_pefts_outputs(
    unet: Any, unet_inputs: Inputs, tmp_path: Path, peft: Any, options: dict[str, Any]
) -> None:
    theirs = make(peft, unet, tmp_path, use_cayley_neumann=False, **options)
    base = output(unet, unet_inputs)
    foreign = read_foreign(tmp_path, unet)
    assert isinstance(foreign, ForeignAdapter) and not foreign.notes
    inject_foreign(unet, foreign)
    expected = output(theirs, unet_inputs)
    assert (expected - base).abs().max() > 1e-3
    torch.testing.assert_close(output(unet, unet_inputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_of_the_truncated_transform_the_rotation_it_approximates_is_taken(
    unet: Any, unet_inputs: Inputs, tmp_path: Path, peft: Any, options: dict[str, Any]
) -> None:
    """Many terms bring PEFT to that rotation; five, whatever they are, give the same adapter."""
    make(peft, unet, tmp_path / "five", **options)
    theirs = make(peft, unet, tmp_path / "forty", num_cayley_neumann_terms=40, std=0.05, **options)
    foreign = read_foreign(tmp_path / "five", unet)
    assert isinstance(foreign, ForeignAdapter)
    inject_foreign(unet, foreign)
    torch.testing.assert_close(output(unet, unet_inputs), output(theirs, unet_inputs), atol=1e-5, rtol=1e-5)


def test_the_note_says_by_how_much_the_truncated_transform_is_off(
    unet: Any, tmp_path: Path, peft: Any
) -> None:
    theirs = make(peft, unet, tmp_path)
    distance = defect = 0.0
    for name, module in theirs.named_modules():
        if name.endswith("oft_R.default"):
            product = module._cayley_batch(module.weight.detach(), 16, True, 5)
            exact = cayley(skew_from_packed(-module.weight.detach()))
            distance = max(distance, (product - exact).abs().max().item())
            defect = max(defect, (product @ product.mT - torch.eye(16)).abs().max().item())
    (note,) = read_foreign(tmp_path, unet).notes
    assert 1e-4 < defect < 1 and f"max|R R^T - I| is {defect:.2g}," in note
    assert f"by up to {distance:.2g};" in note


@pytest.mark.parametrize("options", [*OPTIONS, {"num_cayley_neumann_terms": 3}])
def test_the_truncated_product_itself_gives_pefts_outputs(
    unet: Any, unet_inputs: Inputs, tmp_path: Path, peft: Any, options: dict[str, Any]
) -> None:
    theirs = make(peft, unet, tmp_path, std=0.1, **options)
    truncated = read_foreign(tmp_path, unet, ReadOptions(cayley="neumann"))
    assert isinstance(truncated, TruncatedAdapter) and "no rotation" in truncated.notes[0]
    for name, weight in truncated_weights(unet, truncated).items():
        unet.get_parameter(name).data = weight
    torch.testing.assert_close(output(unet, unet_inputs), output(theirs, unet_inputs), atol=1e-5, rtol=1e-5)


def test_before_peft_018_the_truncated_product_was_another(unet: Any, tmp_path: Path, peft: Any) -> None:
    make(peft, unet, tmp_path)
    new = read_foreign(tmp_path, unet, ReadOptions(cayley="neumann"))
    edit_config(tmp_path, peft_version=None)
    old = read_foreign(tmp_path, unet, ReadOptions(cayley="neumann"))
    assert isinstance(new, TruncatedAdapter) and isinstance(old, TruncatedAdapter)
    packed = read_foreign(tmp_path, unet)
    assert isinstance(packed, ForeignAdapter)
    for name, value in packed.packed.items():
        fourth = torch.linalg.matrix_power(skew_from_packed(value), 4)
        torch.testing.assert_close(old.rotations[name] - new.rotations[name], fourth, atol=1e-6, rtol=0)


def test_the_product_is_refused_where_nothing_was_truncated(unet: Any, tmp_path: Path, peft: Any) -> None:
    make(peft, unet, tmp_path, use_cayley_neumann=False)
    with pytest.raises(ParamsError, match=r"--cayley neumann is for adapters with a truncated transform"):
        read_foreign(tmp_path, unet, ReadOptions(cayley="neumann"))


# --- PEFT 0.14 and 0.15 -------------------------------------------------------------------------------------


def write_old(
    folder: Path, unet: Any, scales: bool = True, **config: Any
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Write the layout of PEFT 0.14; return the raw matrices and the scales by layer."""
    generator = torch.Generator().manual_seed(3)
    matrices, magnitudes = {}, {}
    for name in linear_names(unet, ("attn1.to_q", "attn2.to_k")):
        out_features, in_features = unet.get_submodule(name).weight.shape
        blocks = 1 if config.get("block_share") else 4
        matrices[name] = torch.randn(blocks, in_features // 4, in_features // 4, generator=generator) * 0.05
        magnitudes[name] = 1 + torch.rand(out_features, 1, generator=generator)
    tensors = {f"{PEFT_PREFIX}{name}.oft_r": value for name, value in matrices.items()}
    if scales:
        tensors |= {f"{PEFT_PREFIX}{name}.oft_s": value for name, value in magnitudes.items()}
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    values = {"peft_type": "OFT", "r": 4, "oft_block_size": 0, "eps": 1e-4, "coft": False} | config
    (folder / "adapter_config.json").write_text(json.dumps(values))
    return matrices, magnitudes


@pytest.mark.parametrize("config", [{}, {"block_share": True}, {"coft": True}])
def test_the_layout_of_peft_014_gives_its_weights(unet: Any, tmp_path: Path, config: dict[str, Any]) -> None:
    matrices, magnitudes = write_old(tmp_path, unet, **config)
    expected = {}
    for name, raw in matrices.items():
        weight = unet.get_submodule(name).weight.detach()
        bound = 1e-4 * math.ceil(len(weight) / 4) ** 2 / len(raw) ** 0.5 if config.get("coft") else None
        assert bound is None or raw[0].norm() > bound, "the bound must bind"
        expected[name] = reference_weight(weight, raw, flipped=False, bound=bound, scale=magnitudes[name])
    foreign = read_foreign(tmp_path, unet)
    assert isinstance(foreign, ForeignAdapter)
    loaded = inject_foreign(unet, foreign)
    assert loaded.magnitude is not None
    with loaded.rotations.merging(), loaded.magnitude.merging():
        for name, weight in expected.items():
            torch.testing.assert_close(unet.get_submodule(name).weight.data, weight, atol=2e-6, rtol=1e-5)


def test_scales_of_one_are_no_magnitudes(unet: Any, tmp_path: Path) -> None:
    matrices, magnitudes = write_old(tmp_path, unet)
    tensors = {f"{name}.oft_r": value for name, value in matrices.items()}
    tensors |= {f"{name}.oft_s": torch.ones_like(value) for name, value in magnitudes.items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    foreign = read_foreign(tmp_path, unet)
    assert isinstance(foreign, ForeignAdapter) and foreign.log_scales is None


def test_a_scale_that_is_not_positive_is_refused(unet: Any, tmp_path: Path) -> None:
    matrices, magnitudes = write_old(tmp_path, unet)
    tensors = {f"{name}.oft_r": value for name, value in matrices.items()}
    tensors |= {f"{name}.oft_s": -value for name, value in magnitudes.items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"magnitudes must be positive, and 'down_blocks.* has -"):
        read_foreign(tmp_path, unet)


def test_peft_before_014_is_refused(unet: Any, tmp_path: Path) -> None:
    write_old(tmp_path, unet, scales=False)
    with pytest.raises(CheckpointError, match=r"PEFT before 0\.14 turns the outputs of layers"):
        read_foreign(tmp_path, unet)


# --- what cannot be read ------------------------------------------------------------------------------------


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def write_tiny(folder: Path, tensors: dict[str, Tensor], **config: Any) -> None:
    save_file(tensors, folder / "adapter_model.safetensors")
    values = {"peft_type": "OFT", "oft_block_size": 4, "r": 0, "use_cayley_neumann": False} | config
    (folder / "adapter_config.json").write_text(json.dumps(values))


QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"nowhere.to_q": (32, 6)}, r"those of the base's UNet, and 1 of 1 are not \(nowhere.to_q\)"),
        ({"../../evil": (32, 6)}, r"and 1 of 1 are not \(../../evil\)"),
        ({"conv_in": (36, 6)}, "adapted layers must be linear, and 'conv_in' is a Conv2d"),
        ({QUERY: (31, 6)}, r"must make up its 128 inputs, got 31 of 4; use the base"),
        ({QUERY: (26, 10)}, r"must make up its 128 inputs, got 26 of 5"),
    ],
)
def test_layers_that_are_not_the_unets_are_refused(
    unet: Any, tmp_path: Path, tensors: dict[str, tuple[int, int]], message: str
) -> None:
    write_tiny(tmp_path, {f"{name}.oft_R.weight": torch.zeros(shape) for name, shape in tensors.items()})
    foreign = read_foreign(tmp_path, unet)
    assert isinstance(foreign, ForeignAdapter)
    names = list(unet.state_dict())
    with pytest.raises(CheckpointError, match=message):
        inject_foreign(unet, foreign)
    assert list(unet.state_dict()) == names, "the model was touched"


def test_values_that_are_no_numbers_are_refused(unet: Any, tmp_path: Path) -> None:
    write_tiny(tmp_path, {f"{QUERY}.oft_R.weight": torch.full((32, 6), torch.nan)})
    with pytest.raises(CheckpointError, match=r"must hold finite numbers, and has 1 not finite"):
        read_foreign(tmp_path, unet)


@pytest.mark.parametrize(("key", "value"), [("num_cayley_neumann_terms", 0), ("r", True), ("eps", "small")])
def test_settings_out_of_range_are_named(unet: Any, tmp_path: Path, key: str, value: Any) -> None:
    write_tiny(tmp_path, {f"{QUERY}.oft_R.weight": torch.zeros(32, 6)})
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), key: value}))
    with pytest.raises(CheckpointError, match=rf"adapter_config.json: {key} must be a number from"):
        read_foreign(tmp_path, unet)


@pytest.mark.parametrize("shape", [(32, 7), (32,), (2, 2, 6), (32, 0)])
def test_values_of_odd_shapes_are_named(unet: Any, tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_tiny(tmp_path, {f"{QUERY}.oft_R.weight": torch.zeros(shape)})
    with pytest.raises(CheckpointError, match=rf"every rotation must be .* for '{QUERY}'"):
        read_foreign(tmp_path, unet)


@pytest.mark.parametrize("shape", [(4, 32, 31), (32, 4), (1, 256, 256), (4, 30, 30), (1,)])
def test_matrices_of_odd_shapes_are_named(unet: Any, tmp_path: Path, shape: tuple[int, ...]) -> None:
    tensors = {f"{QUERY}.oft_r": torch.zeros(shape), f"{QUERY}.oft_s": torch.ones(128, 1)}
    write_tiny(tmp_path, tensors, coft=True)
    with pytest.raises(CheckpointError, match=rf"every R must be .* for the 128 of '{QUERY}'"):
        read_foreign(tmp_path, unet)


@pytest.mark.parametrize("change", [{"eps": None}, {"r": "4"}, {"num_cayley_neumann_terms": 2.5}])
def test_numbers_in_the_config_are_numbers(unet: Any, tmp_path: Path, change: dict[str, Any]) -> None:
    write_tiny(tmp_path, {f"{QUERY}.oft_R.weight": torch.zeros(32, 6)}, **change)
    with pytest.raises(CheckpointError, match=rf"adapter_config.json: {next(iter(change))} must be a number"):
        read_foreign(tmp_path, unet)


def test_more_than_rotations_is_refused(unet: Any, tmp_path: Path) -> None:
    write_tiny(tmp_path, {f"{QUERY}.oft_R.weight": torch.zeros(32, 6), "conv_out.bias": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"must end with .oft_R.weight, got 'conv_out.bias'"):
        read_foreign(tmp_path, unet)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "a PEFT adapter needs this file beside its weights"),
        ("{", "must be PEFT's JSON"),
        ("[]", "must be PEFT's JSON"),
        ('{"peft_type": "LORA"}', "peft_type must be OFT, got 'LORA'"),
    ],
)
def test_a_missing_or_foreign_config_is_named(
    unet: Any, tmp_path: Path, text: str | None, message: str
) -> None:
    write_tiny(tmp_path, {f"{QUERY}.oft_R.weight": torch.zeros(32, 6)})
    file = tmp_path / "adapter_config.json"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(CheckpointError, match=rf"adapter_config.json: {message}"):
        read_foreign(tmp_path, unet)
