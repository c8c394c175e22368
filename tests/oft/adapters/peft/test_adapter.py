"""Tuners of PEFT as adapters: many by an entry alone, at the identity, merged, in part, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from oft.adapters.peft.adapter import PeftAdapter
from oft.adapters.registry import create_adapter, load_adapter
from oft.errors import CheckpointError, ParamsError
from oft.models.adapted import init_adapter, load_adapter_onto, save_with_base
from oft.models.base import Base, load_base
from oft.params import parse_params
from oft.seeding import generator_for
from oft.storage import read_json, write_json
from tests.adapters import move, train_briefly

# None of them is in conf/defaults.yaml, and no code knows them: an entry is all there is.
ENTRIES: dict[str, dict[str, Any]] = {
    "adalora": {"type": "ADALORA", "total_step": 8, "tinit": 1, "tfinal": 2},
    "delora": {"type": "DELORA", "r": 4},
    "fourier": {"type": "FOURIERFT", "n_frequency": 20, "init_weights": True},
    "glora": {"type": "GLORA", "r": 4},
    "ia3": {"type": "IA3", "target_modules": ["attn2.to_k", "attn2.to_v"]},
    "lily": {"type": "LILY", "r": 4},
    "norms": {"type": "LN_TUNING", "target_modules": ["norm1", "norm2"]},
    "osf": {"type": "OSF"},
    "their_oft": {"type": "OFT", "oft_block_size": 16},
}
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
UNMERGEABLE = ("lily",)


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


def settings_of(values: dict[str, Any], **entry: Any) -> Any:
    values["adapters"]["tried"] = {"method": "peft", **entry}
    return parse_params(values).adapters["tried"]


def predict(base: Base, adapter: Any = None) -> Tensor:
    """What the UNet predicts for two samples, without a conditioning image."""
    generator = generator_for("inputs")
    with torch.no_grad():
        output: Tensor = base.unet(
            torch.randn(2, base.unet.config.in_channels, 8, 8, generator=generator),
            torch.tensor([10, 700]),
            torch.randn(2, 6, base.unet.config.cross_attention_dim, generator=generator),
        ).sample
    return output


def moved(base: Base, settings: Any) -> PeftAdapter:
    adapter = init_adapter(base, settings, with_condition=False, generator=generator_for(0))
    assert isinstance(adapter, PeftAdapter)
    move(adapter, 1e-2)
    return adapter


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_all_that_a_tuner_needs(
    base: Base, base_folder: Path, values: dict[str, Any], tmp_path: Path, name: str
) -> None:
    settings = settings_of(values, **ENTRIES[name])
    before = {key: value.clone() for key, value in base.unet.state_dict().items()}
    start = predict(base)
    adapter = moved(base, settings)
    changed = predict(base)
    assert (changed - start).abs().max() > 1e-6
    with adapter.merging():
        assert adapter.merged == (name not in UNMERGEABLE)
        torch.testing.assert_close(predict(base), changed, rtol=0, atol=1e-4)
    assert torch.equal(predict(base), changed)

    save_with_base(tmp_path / "saved", adapter, base)
    other = load_base(base_folder)
    loaded = load_adapter_onto(other, tmp_path / "saved")
    torch.testing.assert_close(predict(other), changed, rtol=0, atol=1e-6)
    assert loaded.count_parameters() == adapter.count_parameters()

    adapter.remove()
    after = base.unet.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("name", ["glora", "norms"])
def test_a_strength_is_a_share_of_the_change_of_the_weights(
    base: Base, values: dict[str, Any], name: str
) -> None:
    adapter = moved(base, settings_of(values, **ENTRIES[name]))
    layer = adapter.adapted_layers()[0] if name == "glora" else f"{BLOCK}.norm1"
    weights = {}
    for strength in (0.0, 0.25, 1.0):
        adapter.strength = strength
        with adapter.merging():
            weights[strength] = base.unet.get_parameter(f"{layer}.weight").detach().clone()
    torch.testing.assert_close(weights[0.25], weights[0.0] + 0.25 * (weights[1.0] - weights[0.0]))
    assert not torch.equal(weights[0.0], weights[1.0])


def test_what_cannot_be_merged_has_no_strength_between(base: Base, values: dict[str, Any]) -> None:
    adapter = moved(base, settings_of(values, **ENTRIES["lily"]))
    changed = predict(base)
    with pytest.raises(ParamsError, match="must be 0 or 1 for the tuner LILY"):
        adapter.strength = 0.5
    assert torch.equal(predict(base), changed) and adapter.adapted_layers() == []
    adapter.strength = 0.0
    assert not torch.equal(predict(base), changed)


def test_training_moves_the_tuner_alone(
    base: Base, shards_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    settings = settings_of(values, type="LORA", r=4)
    params = parse_params(values)
    adapter = init_adapter(base, settings, with_condition=True, generator=generator_for(0))
    assert isinstance(adapter, PeftAdapter)
    before = {key: value.clone() for key, value in base.unet.state_dict().items()}
    train_briefly(base, adapter, params, shards_folder, tmp_path, steps=2)
    changed = {key for key, value in base.unet.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all("lora_" in key or key.startswith("hint_encoder.") for key in changed)


def test_adalora_gives_ranks_up_as_its_budget_falls(
    base: Base, base_folder: Path, shards_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    schedule = {"total_step": 6, "tinit": 1, "tfinal": 2, "deltaT": 1}
    settings = settings_of(values, type="ADALORA", init_r=4, target_r=2, **schedule)
    adapter = init_adapter(base, settings, with_condition=True, generator=generator_for(0))
    params = parse_params(values)
    train_briefly(base, adapter, params, shards_folder, tmp_path, steps=6)
    singular = [value for key, value in adapter.trained_parameters().items() if "lora_E" in key]
    kept = sum(int((value != 0).sum()) for value in singular)
    assert 0 < kept <= 2 * len(singular)
    # What is given up is not saved; what is left, made large enough to see, comes back.
    with torch.no_grad():
        for value in singular:
            value.mul_(1000)
    save_with_base(tmp_path / "saved", adapter, base)
    other = load_base(base_folder)
    loaded = load_adapter_onto(other, tmp_path / "saved")
    assert loaded.count_parameters()["adapter"] < adapter.count_parameters()["adapter"]
    images = torch.rand(2, 3, 64, 64, generator=generator_for("images"))
    with adapter.conditioned(images), loaded.conditioned(images):
        expected = predict(base)
        torch.testing.assert_close(predict(other), expected, rtol=0, atol=1e-4)
        loaded.strength = 0.0
        assert (predict(other) - expected).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "LORRA"}, r"must be one of PEFT's tuners .* 'LORRA'; near it: .*LORA"),
        ({"type": "PREFIX_TUNING"}, "must be one of PEFT's tuners"),
        ({"type": "LORA", "lora_alfa": 4}, "lora_alfa: LORA has no such setting; did you mean lora_alpha"),
        ({"type": "LORA", "r": 0}, "r"),
        ({"type": "C3A", "block_size": 100}, "C3A cannot adapt these layers: .*block size"),
        ({"type": "LORA", "target_modules": ["attn7.to_q"]}, "cannot adapt these layers: .*attn7"),
        ({"type": "BOFT", "target_modules": ["norm1"]}, "cannot adapt these layers"),
        ({"type": "FOURIERFT", "n_frequency": 20, "init_weights": False}, "must start as the base"),
        ({"type": "LORA", "init_lora_weights": "pissa"}, "must start with the base's weights"),
        ({"type": "LORA", "modules_to_save": ["conv_in"]}, "modules_to_save: cannot be used here"),
    ],
)
def test_what_peft_cannot_do_is_refused(
    base: Base, values: dict[str, Any], entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        create_adapter(
            base.unet, settings_of(values, **entry), with_condition=False, generator=generator_for(0)
        )


def test_what_the_pipeline_sets_itself_is_refused_with_params(values: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="peft_type: is set by this pipeline"):
        settings_of(values, type="LORA", peft_type="LORA")
    with pytest.raises(ParamsError, match=r"adapters\.tried\.type"):
        settings_of(values, type="lora")


def test_a_damaged_folder_is_refused(
    base: Base, base_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    save_with_base(tmp_path, moved(base, settings_of(values, type="LORA", r=4)), base)
    config = read_json(tmp_path / "adapter_config.json")
    other = load_base(base_folder)
    write_json(tmp_path / "adapter_config.json", {**config, "r": 8})
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        load_adapter(tmp_path, other.unet)
    write_json(tmp_path / "adapter_config.json", {**config, "peft_type": "NOVEL"})
    with pytest.raises(CheckpointError, match="peft_type must be one of"):
        load_adapter(tmp_path, load_base(base_folder).unet)
    write_json(tmp_path / "adapter_config.json", config)
    with pytest.raises(CheckpointError, match="must belong to the base in use"):
        load_adapter(tmp_path, load_base(base_folder).unet, base_hash="another")
