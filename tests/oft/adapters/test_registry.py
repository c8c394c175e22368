"""Laws of every kind of adapter, and a kind from outside the tree, trained, drawn, saved and measured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.protocol import Adapter, AdapterSettings, Method
from oft.adapters.registry import METHODS, create_adapter, load_adapter, recognise, takes_condition
from oft.errors import CheckpointError, ParamsError
from oft.evaluation.geometry import measure_geometry, report_energy
from oft.exchange.description import describe_adapter
from oft.models.adapted import init_adapter, load_adapter_onto, save_with_base
from oft.models.base import Base, load_base
from oft.params import Params, parse_params
from oft.sampling import generate, plan, task_conditions, task_prompts
from oft.seeding import generator_for
from tests.adapters import move, save_moved, train_briefly
from tests.conftest import SIZE_PX

KINDS = ("oft", "coft", "hint", "lora", "controlnet", "dreambooth")


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


def moved(base: Base, settings: AdapterSettings) -> Adapter:
    """An adapter for a task with a condition, away from the identity."""
    adapter = init_adapter(base, settings, with_condition=True, generator=generator_for(0))
    move(adapter, 1e-3)
    if (rotations := getattr(adapter, "rotations", None)) is not None:
        rotations.project()
    return adapter


def predict(base: Base, adapter: Adapter) -> Tensor:
    """What the UNet predicts for two samples with random conditioning images."""
    generator = generator_for("inputs")
    width = base.unet.config.cross_attention_dim
    with torch.no_grad(), adapter.conditioned(torch.rand(2, 3, 64, 64, generator=generator)):
        output: Tensor = base.unet(
            torch.randn(2, base.unet.config.in_channels, 8, 8, generator=generator),
            torch.tensor([10, 700]),
            torch.randn(2, 6, width, generator=generator),
        ).sample
    return output


@pytest.mark.parametrize("name", KINDS)
def test_in_guess_mode_the_unconditional_half_sees_no_conditioning_image(
    base: Base, params: Params, generator: torch.Generator, name: str
) -> None:
    adapter = moved(base, params.adapters[name])
    images = torch.rand(2, 3, 64, 64, generator=generator)
    latents = torch.randn(2, base.unet.config.in_channels, 8, 8, generator=generator)
    states = torch.randn(4, 6, base.unet.config.cross_attention_dim, generator=generator)
    with torch.no_grad():
        with adapter.guess_mode(images):
            both = base.unet(torch.cat([latents] * 2), 500, states).sample
        with adapter.conditioned(None):
            unconditional = base.unet(latents, 500, states[:2]).sample
        with adapter.conditioned(images):
            conditional = base.unet(latents, 500, states[2:]).sample
    torch.testing.assert_close(both[:2], unconditional, rtol=1e-4, atol=1e-5)
    if name != "controlnet":  # whose guess mode weakens shallow blocks, as diffusers' does
        torch.testing.assert_close(both[2:], conditional, rtol=1e-4, atol=1e-5)
    with torch.no_grad(), adapter.conditioned(None):
        assert not torch.allclose(conditional, base.unet(latents, 500, states[2:]).sample, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_a_saved_adapter_comes_back_as_it_was(
    base: Base, base_folder: Path, params: Params, tmp_path: Path, name: str
) -> None:
    adapter = moved(base, params.adapters[name])
    save_with_base(tmp_path / "saved", adapter, base)
    assert recognise(tmp_path / "saved").name == params.adapters[name].method == adapter.method
    other = load_base(base_folder)
    loaded = load_adapter_onto(other, tmp_path / "saved")
    assert list(loaded.trained_parameters()) == list(adapter.trained_parameters())
    assert torch.equal(predict(other, loaded), predict(base, adapter))
    save_with_base(tmp_path / "again", loaded, other)
    saved = [file for file in (tmp_path / "saved").rglob("*") if file.is_file()]
    assert saved
    for file in saved:
        assert (tmp_path / "again" / file.relative_to(tmp_path / "saved")).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_merged_equals_unmerged_and_the_base_comes_back(base: Base, params: Params, name: str) -> None:
    before = {key: value.clone() for key, value in base.unet.state_dict().items()}
    adapter = moved(base, params.adapters[name])
    apart = predict(base, adapter)
    with adapter.merging():
        torch.testing.assert_close(predict(base, adapter), apart, rtol=0, atol=1e-5)
        changed = {
            layer
            for layer in adapter.adapted_layers()
            if not torch.equal(base.unet.get_parameter(f"{layer}.weight"), before[f"{layer}.weight"])
        }
    assert changed == set(adapter.adapted_layers())
    assert torch.equal(predict(base, adapter), apart)
    adapter.remove()
    after = base.unet.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in before)


def test_each_kind_is_described_from_its_files_alone(base: Base, params: Params, tmp_path: Path) -> None:
    for name in ("lora", "controlnet", "dreambooth"):
        adapter = moved(base, params.adapters[name])
        save_with_base(tmp_path / name, adapter, base)
        described = describe_adapter(tmp_path / name)
        assert described.kind == params.adapters[name].method and described.base_hash == base.hash
        assert sum(described.parameters.values()) == sum(adapter.count_parameters().values())
        adapter.remove()


def test_what_was_merged_stays_merged_after_merging(base: Base, params: Params) -> None:
    adapter = init_adapter(base, params.adapters["oft"], with_condition=True, generator=generator_for(0))
    assert isinstance(adapter, OrthogonalAdapter)
    assert adapter.add_magnitudes() and adapter.magnitude is not None
    with adapter.merging():
        assert adapter.rotations.merged and adapter.magnitude.merged
    assert adapter.rotations.merged and not adapter.magnitude.merged


def test_a_hint_encoder_alone_needs_a_condition(base: Base, params: Params) -> None:
    with pytest.raises(ParamsError, match="learns from conditioning images alone"):
        init_adapter(base, params.adapters["hint"], with_condition=False, generator=generator_for(0))


def test_the_hint_encoder_of_another_kind_is_no_adapter(base: Base, params: Params, tmp_path: Path) -> None:
    save_with_base(tmp_path, moved(base, params.adapters["oft"]), base)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=r"and there is hint_encoder\.safetensors"):
        recognise(tmp_path)


def test_an_energy_without_changed_weights_is_refused(
    base: Base, base_folder: Path, params: Params, tmp_path: Path
) -> None:
    save_with_base(tmp_path, moved(base, params.adapters["hint"]), base)
    with pytest.raises(ParamsError, match="changes no weights"):
        report_energy(load_base(base_folder), tmp_path)


@pytest.mark.parametrize("name", KINDS)
def test_only_what_is_trained_has_gradients(base: Base, params: Params, name: str) -> None:
    adapter = moved(base, params.adapters[name])
    trained = {id(value) for value in adapter.trained_parameters().values()}
    assert {id(value) for value in base.unet.parameters() if value.requires_grad} == trained
    parts = adapter.count_parameters()
    assert sum(parts.values()) == sum(value.numel() for value in adapter.trained_parameters().values())


def test_a_folder_of_no_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        CheckpointError,
        match=r"a known kind \(peft, oft, controlnet, full, hint\) must lie here, and there is notes",
    ):
        recognise(tmp_path)


# ---- A kind that this project does not know: the bias of the UNet's first convolution, shifted

FILE = "shift.safetensors"


class ShiftSettings(AdapterSettings):
    method: Literal["shift"]
    scale: float = 1.0


class Shift(Adapter):
    method = "shift"

    def __init__(self, unet: nn.Module, value: Tensor, scale: float) -> None:
        self.unet, self.metadata, self.scale = unet, {"scale": str(scale)}, scale
        self._strength, self._merged = 1.0, False
        unet.requires_grad_(False)
        self.value = nn.Parameter(value)
        self._hook = unet.get_submodule("conv_in").register_forward_hook(self._add)

    def _add(self, layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return output if self._merged else output + self._shift()[:, None, None].to(output.dtype)

    def _shift(self) -> Tensor:
        return self.value * self.scale * self._strength

    @classmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> Shift:
        return cls(unet, torch.zeros_like(unet.get_parameter("conv_in.bias")), settings.scale)

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> Shift:
        return cls(unet, load_file(folder / FILE)["value"], 1.0)

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"value": self.value.detach() * self.scale}, folder / FILE)

    def remove(self) -> None:
        self.unmerge()
        self._hook.remove()

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        return {"value": self.value}

    @property
    def takes_condition(self) -> bool:
        return False

    def conditioned(self, images: Tensor | None) -> AbstractContextManager[None]:
        return nullcontext()

    @property
    def strength(self) -> float:
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._strength = strength

    @property
    def merged(self) -> bool:
        return self._merged

    def merge(self) -> None:
        if not self._merged:
            self._bias = self.unet.get_parameter("conv_in.bias").data.clone()
            self.unet.get_parameter("conv_in.bias").data += self._shift().detach()
        self._merged = True

    def unmerge(self) -> None:
        if self._merged:
            self.unet.get_parameter("conv_in.bias").data = self._bias
        self._merged = False

    def count_parameters(self) -> dict[str, int]:
        return {"shift": self.value.numel()}


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Method:
    """The kind, known to the registry as one of the tree is."""
    method = Method(
        name="shift",
        settings=ShiftSettings,
        meaning=lambda settings: "one shift a channel",
        load_class=lambda: Shift,
        recognises=lambda folder: (folder / FILE).is_file(),
    )
    monkeypatch.setitem(METHODS, method.name, method)
    return method


def test_a_kind_from_outside_is_trained_saved_drawn_and_measured(
    base: Base,
    base_folder: Path,
    shards_folder: Path,
    shift: Method,
    values: dict[str, Any],
    tmp_path: Path,
) -> None:
    values["adapters"]["first_bias"] = {"method": "shift", "scale": 0.5}
    values["control_adapters"] = ["oft", "first_bias"]
    params = parse_params(values)
    adapter = init_adapter(
        base, params.adapters["first_bias"], with_condition=True, generator=generator_for(0)
    )
    log = train_briefly(base, adapter, params, shards_folder, tmp_path, steps=3)
    assert log[-1]["step"] == 3 and adapter.trained_parameters()["value"].abs().max() > 0
    assert not adapter.add_magnitudes()
    save_with_base(tmp_path / "saved", adapter, base)

    fresh = load_base(base_folder)
    metrics, layers = measure_geometry(fresh, tmp_path / "saved")
    channels = fresh.unet.config.block_out_channels[0]
    size = (tmp_path / "saved" / FILE).stat().st_size
    counted = {"shift_parameters": channels, "trainable_parameters": channels, "adapter_bytes": size}
    assert metrics == counted and layers == []
    described = describe_adapter(tmp_path / "saved")
    assert described.parameters == {"shift": channels} and "of the kind shift" in described.to_text()
    loaded = load_adapter(tmp_path / "saved", fresh.unet)
    settings = params.sample.model_copy(update={"num_inference_steps": 2, "batch_size": 4})
    requests = plan(task_prompts(shards_folder), 1, seed=0)

    def draw(carried: Adapter | None) -> np.ndarray:
        conditions = task_conditions(shards_folder)
        return np.stack([p for _, p in generate(fresh, carried, requests, conditions, settings, SIZE_PX)])

    loaded.strength = 100.0  # three steps move little
    loaded.merge()
    changed = draw(loaded)
    loaded.remove()
    assert (changed != draw(None)).any()


def test_settings_of_a_kind_are_its_own(values: dict[str, Any], shift: Method) -> None:
    values["adapters"]["first_bias"] = {"method": "shift", "num_blocks": 4}
    with pytest.raises(Exception, match=r"adapters\.first_bias\.num_blocks: unknown key"):
        parse_params(values)


def test_creating_leaves_the_unet_as_it_draws(base: Base, shift: Method) -> None:
    generator = generator_for("inputs")
    inputs = (
        torch.randn(1, base.unet.config.in_channels, 8, 8, generator=generator),
        torch.tensor([5]),
        torch.randn(1, 6, base.unet.config.cross_attention_dim, generator=generator),
    )
    with torch.no_grad():
        before = base.unet(*inputs).sample
        create_adapter(base.unet, ShiftSettings(method="shift"), with_condition=False, generator=generator)
        assert torch.equal(base.unet(*inputs).sample, before)


@pytest.mark.parametrize(
    ("name", "with_condition"), [*((name, True) for name in KINDS), ("oft", False), ("lora", False)]
)
def test_a_folder_tells_whether_its_adapter_takes_a_conditioning_image(
    base: Base, base_folder: Path, params: Params, tmp_path: Path, name: str, with_condition: bool
) -> None:
    settings = params.adapters[name]
    save_moved(tmp_path / "saved", base_folder, name, settings, with_condition=with_condition)
    assert takes_condition(tmp_path / "saved") is with_condition
    assert load_adapter_onto(base, tmp_path / "saved").takes_condition is with_condition
