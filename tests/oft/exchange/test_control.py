"""A control adapter as a folder that stock diffusers runs: our pictures for the same seeds, without oft."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.utils import dynamic_modules_utils
from PIL import Image

from oft.errors import ParamsError
from oft.exchange import community, export_adapter
from oft.exchange.formats import ExportOptions
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import Base, load_base
from oft.params import Params, parse_params
from oft.sampling import generate, plan
from oft.seeding import generator_for
from tests.adapters import move, stock_pictures
from tests.conftest import SIZE_PX

from .programs import hint_features

PROMPTS = {"a": "a red house", "b": "a blue boat"}
TOLERANCE = 2  # of 255: the weights are summed in another order
ENTRIES: dict[str, dict[str, Any]] = {
    "oft": {"method": "oft", "num_blocks": 4},
    "lora": {"method": "peft", "type": "LORA", "r": 4},
    "hint": {"method": "hint"},
}


@pytest.fixture(autouse=True)
def _own_modules_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers copies a folder's code into a cache and imports it from there."""
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)) for _ in PROMPTS]


def save(base: Base, values: dict[str, Any], kind: str, folder: Path) -> tuple[Any, Params]:
    """Save an adapter with its hint encoder away from the identity; OFT's with magnitudes."""
    values["adapters"]["tried"] = ENTRIES[kind]
    params = parse_params(values)
    adapter = init_adapter(base, params.adapters["tried"], with_condition=True, generator=generator_for(0))
    move(adapter, 2e-2)
    if adapter.add_magnitudes():
        move(adapter, 5e-2)
    save_with_base(folder, adapter, base)
    return adapter, params


def ours(base: Base, adapter: Any, params: Params, pictures: list[Image.Image], **sample: Any) -> np.ndarray:
    settings = params.sample.model_copy(update={"num_inference_steps": 3, "batch_size": 2, **sample})
    conditions = {key: png(picture) for key, picture in zip(PROMPTS, pictures, strict=True)}
    requests = plan(PROMPTS, 1, seed=0)
    return np.stack([p for _, p in generate(base, adapter, requests, conditions, settings, SIZE_PX)])


def theirs(folder: Path, base: Base, params: Params, **more: Any) -> np.ndarray:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        folder, custom_pipeline=str(folder), trust_remote_code=True
    )
    return stock_pictures(pipeline, base, params, PROMPTS, **more)


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("guess_mode", [False, True])
def test_stock_diffusers_draws_our_pictures(
    base_folder: Path,
    values: dict[str, Any],
    pictures: list[Image.Image],
    tmp_path: Path,
    kind: str,
    guess_mode: bool,
) -> None:
    base = load_base(base_folder)
    adapter, params = save(base, values, kind, tmp_path / "saved")
    notes = export_adapter(tmp_path / "saved", base_folder, tmp_path / "out", "diffusers-control", "fp32")
    assert "the folder carries code" in notes[0] and " MB, fp32" in notes[-1]
    expected = ours(base, adapter, params, pictures, guess_mode=guess_mode)
    found = theirs(tmp_path / "out", base, params, image=pictures, guess_mode=guess_mode)
    assert np.abs(found.astype(int) - expected).max() <= TOLERANCE
    without = theirs(tmp_path / "out", base, params)
    assert np.abs(without.astype(int) - expected).max() > 4 * TOLERANCE, "the condition shows"


def test_half_precision_is_near(
    base_folder: Path, values: dict[str, Any], pictures: list[Image.Image], tmp_path: Path
) -> None:
    base = load_base(base_folder)
    adapter, params = save(base, values, "oft", tmp_path / "saved")
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "out", "diffusers-control")
    found = theirs(tmp_path / "out", base, params, image=pictures)
    assert np.abs(found.astype(int) - ours(base, adapter, params, pictures)).mean() < 1


def test_strength_is_the_weights_alone(
    base_folder: Path, values: dict[str, Any], pictures: list[Image.Image], tmp_path: Path
) -> None:
    base = load_base(base_folder)
    adapter, params = save(base, values, "oft", tmp_path / "saved")
    options = ExportOptions(strength=0.5)
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "out", "diffusers-control", "fp32", options)
    adapter.strength = 0.5
    found = theirs(tmp_path / "out", base, params, image=pictures)
    assert np.abs(found.astype(int) - ours(base, adapter, params, pictures)).max() <= TOLERANCE


@pytest.fixture
def pipeline(base_folder: Path, values: dict[str, Any], tmp_path: Path) -> Any:
    save(load_base(base_folder), values, "hint", tmp_path / "saved")
    export_adapter(tmp_path / "saved", base_folder, tmp_path / "out", "diffusers-control", "fp32")
    loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "out", trust_remote_code=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def draw(pipeline: Any, prompt: Any, image: Any, **more: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    images: np.ndarray = pipeline(
        prompt, image, num_inference_steps=2, generator=generator, output_type="np", **more
    ).images
    return images


def test_the_encoder_is_the_published_one(pipeline: Any, generator: torch.Generator) -> None:
    images = torch.rand(2, 3, SIZE_PX, SIZE_PX, generator=generator)
    with torch.no_grad():
        found = pipeline.hint_encoder(images)
    expected = hint_features(pipeline.hint_encoder.state_dict(), images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_one_image_serves_several_pictures(pipeline: Any, pictures: list[Image.Image]) -> None:
    first, second = draw(pipeline, "a house", pictures[0], num_images_per_prompt=2)
    assert first.shape == (SIZE_PX, SIZE_PX, 3) and np.abs(first - second).max() > 0.05
    both = draw(pipeline, ["a house", "a boat"], pictures[0])
    each = draw(pipeline, ["a house", "a boat"], [pictures[0], pictures[0]])
    np.testing.assert_allclose(both, each, atol=1e-4)


def test_images_are_taken_as_pictures_arrays_or_tensors(pipeline: Any, pictures: list[Image.Image]) -> None:
    array = np.asarray(pictures[0], dtype=np.float32) / 255
    expected = draw(pipeline, "a house", pictures[0])
    np.testing.assert_allclose(draw(pipeline, "a house", array), expected, atol=1e-3)
    tensor = torch.from_numpy(array).permute(2, 0, 1)[None]
    np.testing.assert_allclose(draw(pipeline, "a house", tensor), expected, atol=1e-3)
    large = pictures[0].resize((2 * SIZE_PX, 2 * SIZE_PX), Image.Resampling.NEAREST)
    resized = draw(pipeline, "a house", large, height=SIZE_PX, width=SIZE_PX)
    assert resized.shape == expected.shape


def test_the_scale_is_the_features(pipeline: Any, pictures: list[Image.Image]) -> None:
    nothing = draw(pipeline, "a house", None, height=SIZE_PX, width=SIZE_PX)
    none = draw(pipeline, "a house", pictures[0], conditioning_scale=0.0)
    np.testing.assert_allclose(none, nothing, atol=1e-5)
    assert np.abs(draw(pipeline, "a house", pictures[0]) - nothing).max() > 0.05


def test_images_that_fit_no_batch_are_refused(pipeline: Any, pictures: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="give one image, or one a prompt"):
        draw(pipeline, ["a house"], [pictures[0]] * 3)
    assert not pipeline.unet.conv_in._forward_hooks, "the hook is gone after a failure too"


def test_the_code_imports_nothing_of_ours() -> None:
    folder = Path(next(iter(community.__path__)))
    allowed = {"typing", "itertools", "torch", "diffusers", "PIL"}
    for file in (folder / "pipeline.py", folder / "hint_encoder.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed


@pytest.mark.parametrize(
    ("entry", "with_condition", "message"),
    [
        ({"method": "oft", "num_blocks": 4}, False, "this one has none; give --format diffusers"),
        ({"method": "controlnet"}, True, "stock diffusers loads its folder as a ControlNetModel"),
    ],
)
def test_what_has_no_hint_encoder_is_refused(
    base_folder: Path,
    values: dict[str, Any],
    tmp_path: Path,
    entry: dict[str, Any],
    with_condition: bool,
    message: str,
) -> None:
    values["adapters"]["tried"] = entry
    base, settings = load_base(base_folder), parse_params(values).adapters["tried"]
    adapter = init_adapter(base, settings, with_condition=with_condition, generator=generator_for(0))
    save_with_base(tmp_path / "saved", adapter, base)
    with pytest.raises(ParamsError, match=message):
        export_adapter(tmp_path / "saved", base_folder, tmp_path / "out", "diffusers-control")
    assert not (tmp_path / "out").exists()


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
