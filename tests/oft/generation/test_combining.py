"""Adapters on a base: one is what sampling puts on, several are the sum of their changes, none is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from oft.errors import CheckpointError, ParamsError
from oft.generation.combining import AdapterChoice, applied, takes_condition
from oft.models.adapted import load_adapter_onto
from oft.models.base import Base, load_base
from tests.adapters import Saver

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"


def weights(base: Base) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in base.unet.state_dict().items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def change(base_folder: Path, folder: Path, strength: float = 1.0) -> dict[str, Tensor]:
    """What an adapter adds to the weights of a base that carries nothing else."""
    base = load_base(base_folder)
    before = weights(base)
    adapter = load_adapter_onto(base, folder)
    adapter.strength = strength
    return {name: value - before[name] for name, value in adapter.merged_values().items()}


def test_a_name_may_end_in_a_strength(tmp_path: Path) -> None:
    folder = tmp_path / "dog"
    folder.mkdir()
    assert AdapterChoice.parse(str(folder)) == AdapterChoice(folder, 1.0)
    assert AdapterChoice.parse(f"{folder}:0.5") == AdapterChoice(folder, 0.5)
    odd = tmp_path / "take:2"
    odd.mkdir()
    assert AdapterChoice.parse(str(odd)) == AdapterChoice(odd, 1.0)


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        AdapterChoice.parse(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["oft", "lora", "full"])
def test_one_adapter_is_merged_and_leaves_no_trace(base: Base, saved: Saver, name: str) -> None:
    before = weights(base)
    with applied(base, [AdapterChoice(saved(name))]) as adapter:
        assert adapter is not None
        assert adapter.merged
    assert_equal(weights(base), before)


def test_several_add_up_in_any_order(base: Base, base_folder: Path, saved: Saver) -> None:
    subject, style = saved("oft"), saved("lora")
    before = weights(base)
    expected = before[LAYER] + change(base_folder, subject)[LAYER] + change(base_folder, style, 0.5)[LAYER]
    for choices in (
        [AdapterChoice(subject), AdapterChoice(style, 0.5)],
        [AdapterChoice(style, 0.5), AdapterChoice(subject)],
    ):
        with applied(base, choices) as adapter:
            assert adapter is None
            torch.testing.assert_close(base.unet.get_parameter(LAYER).detach(), expected, rtol=0, atol=1e-6)
        assert_equal(weights(base), before)


def test_strength_multiplies_each_ones_own(base: Base, base_folder: Path, saved: Saver) -> None:
    first, second = saved("lora"), saved("full")
    before = weights(base)[LAYER]
    expected = before + change(base_folder, first, 0.25)[LAYER] + change(base_folder, second, 0.5)[LAYER]
    with applied(base, [AdapterChoice(first, 0.5), AdapterChoice(second)], strength=0.5):
        torch.testing.assert_close(base.unet.get_parameter(LAYER).detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("control", ["oft", "controlnet", "hint"])
def test_one_of_several_may_take_a_condition(
    base: Base, base_folder: Path, saved: Saver, control: str
) -> None:
    style, shown = saved("lora"), saved(control, with_condition=True)
    before = weights(base)
    expected = before[LAYER] + change(base_folder, style)[LAYER]
    expected = expected + change(base_folder, shown).get(LAYER, torch.zeros(()))
    with applied(base, [AdapterChoice(style), AdapterChoice(shown)]) as adapter:
        assert adapter is not None
        assert adapter.takes_condition
        found = adapter.merged_values().get(LAYER, base.unet.state_dict().get(LAYER))
        torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-6)
    assert_equal(weights(base), before)


def test_two_that_take_a_condition_are_refused_and_leave_no_trace(base: Base, saved: Saver) -> None:
    before = weights(base)
    choices = [AdapterChoice(saved(name, with_condition=True)) for name in ("oft", "hint")]
    with pytest.raises(ParamsError, match="both take a conditioning image"), applied(base, choices):
        pass
    assert_equal(weights(base), before)


def test_one_that_changes_the_text_encoder_is_drawn_with_alone(base: Base, saved: Saver) -> None:
    before = weights(base)
    text = saved("lora", train_text_encoder=True)
    with applied(base, [AdapterChoice(text)]) as adapter:
        assert adapter is not None
    refused = pytest.raises(ParamsError, match="text encoder")
    with refused, applied(base, [AdapterChoice(text), AdapterChoice(saved("oft"))]):
        pass
    assert_equal(weights(base), before)


def test_a_lora_file_is_what_its_folder_is(base: Base, base_folder: Path, saved: Saver) -> None:
    folder = saved("lora")
    file = folder / "pytorch_lora_weights.safetensors"
    choice = AdapterChoice(file, 0.5)
    assert choice.kind == "LoRA"
    before = weights(base)
    expected = before[LAYER] + change(base_folder, folder, 0.5)[LAYER]
    with applied(base, [choice]) as adapter:
        assert adapter is None
        torch.testing.assert_close(base.unet.get_parameter(LAYER).detach(), expected, rtol=0, atol=1e-6)
    assert_equal(weights(base), before)


def test_a_file_that_is_no_lora_is_refused_by_name(base: Base, saved: Saver) -> None:
    before = weights(base)
    file = saved("hint", with_condition=True) / "hint_encoder.safetensors"
    with (
        pytest.raises(CheckpointError, match=r"hint_encoder\.safetensors"),
        applied(base, [AdapterChoice(file)]),
    ):
        pass
    assert_equal(weights(base), before)


@pytest.mark.parametrize(
    ("name", "with_condition"),
    [
        *((name, True) for name in ("oft", "hint", "lora", "controlnet", "full")),
        ("oft", False),
        ("lora", False),
    ],
)
def test_a_folder_tells_whether_its_adapter_takes_a_conditioning_image(
    base: Base, saved: Saver, name: str, with_condition: bool
) -> None:
    folder = saved(name, with_condition=with_condition)
    assert takes_condition(folder) is with_condition
    assert load_adapter_onto(base, folder).takes_condition is with_condition
