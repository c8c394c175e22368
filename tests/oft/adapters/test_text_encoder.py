"""The text encoder trained along with the UNet: it learns, is saved and loaded, and comes back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from oft.errors import ParamsError
from oft.models.adapted import init_adapter, load_adapter_onto, save_with_base
from oft.models.base import Base, load_base
from oft.models.prompts import encode_prompts
from oft.params import Params, parse_params
from oft.seeding import generator_for
from oft.training.objective import Denoiser, TrainingSource, data_objective
from tests.adapters import move, train_briefly
from tests.oft.training.conftest import training_set

ENTRIES: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "train_text_encoder": True},
    "lora": {"method": "peft", "type": "LORA", "r": 4, "train_text_encoder": True},
}
SHORT = {"max_train_steps": 2, "warmup_steps": 0, "batch_size": 2, "mixed_precision": "fp32"}
PROMPTS = ["a red house", ""]


@pytest.fixture(params=ENTRIES)
def params(request: pytest.FixtureRequest, values: dict[str, Any]) -> Params:
    values["adapters"]["tried"] = ENTRIES[request.param]
    return parse_params(values)


def start(base: Base, params: Params) -> Any:
    return init_adapter(base, params.adapters["tried"], with_condition=False, generator=generator_for(0))


def weights(base: Base) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in base.text_encoder.state_dict().items()}


def test_it_learns_is_kept_and_comes_back(
    base_folder: Path, shards_folder: Path, params: Params, tmp_path: Path
) -> None:
    base = load_base(base_folder)
    before, states = weights(base), encode_prompts(base, PROMPTS).hidden_states
    adapter = start(base, params)
    assert torch.equal(encode_prompts(base, PROMPTS).hidden_states, states)
    train_briefly(base, adapter, params, shards_folder, tmp_path, steps=2, with_condition=False)
    learned = encode_prompts(base, PROMPTS).hidden_states
    assert (learned - states).abs().max() > 1e-4
    save_with_base(tmp_path / "saved", adapter, base)
    other = load_base(base_folder)
    loaded = load_adapter_onto(other, tmp_path / "saved")
    assert torch.equal(encode_prompts(other, PROMPTS).hidden_states, learned)
    assert loaded.count_parameters() == adapter.count_parameters()
    assert loaded.count_parameters()["text_encoder"] > 0
    adapter.remove()
    after = weights(base)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def test_micro_batches_teach_it_what_the_whole_batch_does(
    base_folder: Path, shards_folder: Path, params: Params
) -> None:
    def gradients(parts: int) -> list[Tensor]:
        base = load_base(base_folder)
        adapter = start(base, params)
        move(adapter, 1e-2)  # LoRA's first factor has no gradient while the second is zero
        objective = data_objective(
            base,
            Denoiser(base.unet, adapter),
            [TrainingSource(training_set(shards_folder, with_condition=False), "instance")],
            params.train.model_copy(update={**SHORT, "gradient_accumulation_steps": parts}),
            seed=0,
            text_is_trained=True,
        )
        for loss in objective(0):
            loss.backward()
        text = [value for name, value in adapter.trained_parameters().items() if "text_encoder" in name]
        return [value.grad for value in text if value.grad is not None]

    whole, parted = gradients(1), gradients(2)
    assert len(whole) == len(parted) > 0 and any(value.abs().max() > 0 for value in whole)
    for one, other in zip(whole, parted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_kind_that_does_not_train_it_says_so(base_folder: Path, values: dict[str, Any]) -> None:
    values["adapters"]["tried"] = {"method": "oft", "num_blocks": 1, "train_text_encoder": True}
    with pytest.raises(ParamsError, match=r"adapters\.tried\.train_text_encoder: unknown key"):
        parse_params(values)
    base = load_base(base_folder)
    adapter = init_adapter(base, parse_params_of(values), with_condition=False, generator=generator_for(0))
    with pytest.raises(ParamsError, match="does not train the text encoder"):
        adapter.train_text_encoder(base.text_encoder, generator_for(0))


def parse_params_of(values: dict[str, Any]) -> Any:
    values["adapters"]["tried"].pop("train_text_encoder")
    return parse_params(values).adapters["tried"]
