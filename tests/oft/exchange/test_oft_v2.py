"""Files of sd-scripts' oft_v2 and of OneTrainer: our outputs are theirs within the stated error."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.errors import CheckpointError
from oft.exchange import export_adapter, import_adapter
from oft.exchange.foreign import ForeignAdapter, ForeignWeights, inject_foreign
from oft.exchange.imports import read_foreign
from oft.exchange.sources import ReadOptions
from oft.models.base import load_base

from .conftest import Inputs, linear_names, output
from .programs import SCALES, with_oft_v2
from .test_reference import ldm_name
from .test_series import CONVOLUTIONS, save

TARGETS = ("attn1.to_q", "attn2.to_k", "ff.net.0.proj")


def their_tensors(
    unet: Any, std: float, size: int = 16, targets: tuple[str, ...] = TARGETS
) -> dict[str, Tensor]:
    """Rotations by layer name, as those programs store them."""
    generator = torch.Generator().manual_seed(6)
    tensors = {}
    for name, layer in unet.named_modules():
        if name.endswith(targets):
            rows = layer.weight[0].numel() // size
            tensors[name] = torch.randn(rows, size * (size - 1) // 2, generator=generator) * std
    return tensors


def underscored(name: str) -> str:
    return f"lora_unet_{name.replace('.', '_')}"


NAMINGS: dict[str, Callable[[str], str]] = {
    "native": underscored,
    "omi of sd-scripts": lambda name: f"unet.{name}",
    "omi of OneTrainer": lambda name: ldm_name(name).replace("model.diffusion_model.", "unet."),
}


def write(folder: Path, tensors: dict[str, Tensor], naming: str = "native") -> Path:
    file = folder / "theirs.safetensors"
    save_file({f"{NAMINGS[naming](name)}.oft_R.weight": value for name, value in tensors.items()}, file)
    return file


def theirs(unet: Any, tensors: dict[str, Tensor], scale: float = 1.0) -> Any:
    return with_oft_v2(unet, {f"{underscored(n)}.oft_R.weight": v for n, v in tensors.items()}, scale)


def stated(note: str) -> float:
    found = re.search(r"differ by (\S+) of its effect", note)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("naming", NAMINGS)
def test_our_outputs_are_theirs_within_the_stated_error(
    unet: Any, pristine_unet: Any, unet_inputs: Inputs, tmp_path: Path, naming: str
) -> None:
    tensors = their_tensors(unet, 0.012)
    foreign = read_foreign(write(tmp_path, tensors, naming), unet)
    assert isinstance(foreign, ForeignAdapter) and set(foreign.packed) == set(tensors)
    error = stated(foreign.notes[0])
    assert 1e-5 < error <= 1e-3
    adapter = inject_foreign(unet, foreign)
    assert adapter.rotations.orthogonality_error() < 1e-6
    expected = output(theirs(pristine_unet, tensors), unet_inputs)
    effect = (expected - output(pristine_unet, unet_inputs)).norm()
    assert (output(unet, unet_inputs) - expected).norm() < (2 * error + 1e-4) * effect
    assert effect > 1e-2


@pytest.mark.parametrize("shared", [False, True])
def test_convolutions_are_turned_the_other_way_round(
    unet: Any, pristine_unet: Any, unet_inputs: Inputs, tmp_path: Path, shared: bool
) -> None:
    tensors = their_tensors(unet, 0.004, 64, CONVOLUTIONS)
    if shared:
        tensors = {name: value[:1] for name, value in tensors.items()}
    foreign = read_foreign(write(tmp_path, tensors), unet)
    assert isinstance(foreign, ForeignAdapter) and foreign.block_share == shared
    inject_foreign(unet, foreign)
    expected = output(theirs(pristine_unet, tensors), unet_inputs)
    effect = (expected - output(pristine_unet, unet_inputs)).norm()
    assert (output(unet, unet_inputs) - expected).norm() < 3e-3 * effect


@pytest.mark.parametrize("scaled_by", SCALES)
def test_scaled_oft_is_divided_and_said_so(
    unet: Any, pristine_unet: Any, unet_inputs: Inputs, tmp_path: Path, scaled_by: Any
) -> None:
    tensors = their_tensors(unet, 0.1)
    named = {f"{underscored(name)}.oft_R.weight": value for name, value in tensors.items()}
    flags = {f"{underscored(name)}.oft_R.scaled_oft": torch.tensor(True) for name in tensors}
    save_file(named | flags, tmp_path / "x.safetensors")
    foreign = read_foreign(tmp_path / "x.safetensors", unet, ReadOptions(scaled_by=scaled_by))
    assert isinstance(foreign, ForeignAdapter) and f"--scaled-by {scaled_by}" in foreign.notes[0]
    inject_foreign(unet, foreign)
    expected = output(theirs(pristine_unet, tensors, SCALES[scaled_by](16)), unet_inputs)
    effect = (expected - output(pristine_unet, unet_inputs)).norm()
    assert (output(unet, unet_inputs) - expected).norm() < 3e-3 * effect


def test_what_would_lose_more_is_refused_and_its_weights_are_exact(
    base_folder: Path, pristine_unet: Any, unet_inputs: Inputs, tmp_path: Path
) -> None:
    tensors = their_tensors(pristine_unet, 0.06) | their_tensors(pristine_unet, 0.02, 64, CONVOLUTIONS[1:])
    file = write(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=r"differ by 0\.\d+ of its effect .*, and 0\.001 is allowed"):
        import_adapter(file, base_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    options = ReadOptions(cayley="neumann")
    (note,) = import_adapter(file, base_folder, tmp_path / "merged", options=options, precision="fp32")
    assert stated(note) > 1e-2 and "no adapter" in note
    expected = output(theirs(pristine_unet, tensors), unet_inputs)
    found = output(load_base(tmp_path / "merged").unet, unet_inputs)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_an_error_that_is_allowed_is_stated(base_folder: Path, pristine_unet: Any, tmp_path: Path) -> None:
    file = write(tmp_path, their_tensors(pristine_unet, 0.06))
    options = ReadOptions(allow_error=True)
    (note,) = import_adapter(file, base_folder, tmp_path / "out", options=options)
    assert stated(note) > 1e-2
    assert (
        OrthogonalAdapter.load(tmp_path / "out", load_base(base_folder).unet).rotations.config.block_size
        == 16
    )


@pytest.mark.parametrize("form", ["kohya", "onetrainer"])
def test_what_goes_out_comes_back(pristine_unet: Any, base_folder: Path, tmp_path: Path, form: str) -> None:
    saved = save(
        pristine_unet, base_folder, tmp_path / "saved", 0.01, target_modules=(*CONVOLUTIONS, *TARGETS)
    )
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "x.safetensors", form)
    import_adapter(tmp_path / "x.safetensors", base_folder, tmp_path / "back")
    unet = load_base(base_folder).unet
    back = dict(OrthogonalAdapter.load(tmp_path / "back", unet).rotations.named_packed())
    ours = dict(saved.oft_adapter.named_packed())
    assert back.keys() == ours.keys()
    for name, packed in ours.items():
        assert (back[name] - packed).norm() < 1e-3 * packed.norm()


def test_text_encoders_are_left_out_only_if_told(unet: Any, tmp_path: Path) -> None:
    tensors = {f"{underscored(name)}.oft_R.weight": v for name, v in their_tensors(unet, 0.01).items()}
    tensors["lora_te_text_model_encoder_layers_0_self_attn_q_proj.oft_R.weight"] = torch.zeros(8, 120)
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"changes text encoders too \(lora_te_text_model"):
        read_foreign(tmp_path / "x.safetensors", unet)
    foreign = read_foreign(tmp_path / "x.safetensors", unet, ReadOptions(allow_error=True))
    assert foreign.notes[0] == "1 tensors of text encoders are left out"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"lora_unet_nowhere.oft_R.weight": (8, 120)}, r"and 1 do not \(lora_unet_nowhere.oft_R.weight\)"),
        ({"{}.dora_scale": (128, 1)}, r"DoRA's magnitudes \(lora_unet_.*dora_scale\)"),
        ({"lora_unet_conv_out.alpha": (1,)}, "each layer needs its .oft_R.weight, and conv_out has none"),
        ({"lora_unet_conv_out.oft_R.weight": (8, 7)}, r"every rotation must be .* for 'conv_out'"),
    ],
)
def test_what_belongs_to_no_layer_is_named(
    unet: Any, tmp_path: Path, extra: dict[str, tuple[int, ...]], message: str
) -> None:
    tensors = {f"{underscored(name)}.oft_R.weight": v for name, v in their_tensors(unet, 0.01).items()}
    first = underscored(linear_names(unet, TARGETS)[0])
    tensors |= {key.format(first): torch.zeros(shape) for key, shape in extra.items()}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=message):
        read_foreign(tmp_path / "x.safetensors", unet)


def test_values_may_be_in_half_precision(unet: Any, tmp_path: Path) -> None:
    tensors = {name: value.half() for name, value in their_tensors(unet, 0.01).items()}
    foreign = read_foreign(write(tmp_path, tensors), unet)
    assert isinstance(foreign, ForeignAdapter)
    assert all(value.dtype == torch.float32 for value in foreign.packed.values())


def test_alphas_say_nothing(unet: Any, tmp_path: Path) -> None:
    tensors = their_tensors(unet, 0.01)
    named = load_file(write(tmp_path, tensors))
    alphas = {f"{underscored(name)}.alpha": torch.tensor(16.0) for name in tensors}
    save_file(named | alphas, tmp_path / "x.safetensors")
    plain, with_alphas = (read_foreign(tmp_path / f"{n}.safetensors", unet) for n in ("theirs", "x"))
    assert isinstance(plain, ForeignAdapter) and isinstance(with_alphas, ForeignAdapter)
    assert all(torch.equal(with_alphas.packed[name], value) for name, value in plain.packed.items())
    assert not isinstance(plain, ForeignWeights)
