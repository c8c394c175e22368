"""What stock PEFT and diffusers make of saved adapters: our picture for the same seed."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import peft
import pytest
from PIL import Image

from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import Base, load_base, make_pipeline
from oft.params import Params, parse_params
from oft.sampling import generate, plan
from oft.seeding import generator_for
from tests.adapters import move, stock_pictures
from tests.conftest import SIZE_PX

PROMPTS = {"a": "a red house", "b": "a blue boat"}
TOLERANCE = 2  # of 255: the weights are summed in another order


def adapted(base: Base, params: Params, name: str, *, with_condition: bool = False) -> Any:
    """An adapter well away from the identity."""
    adapter = init_adapter(
        base, params.adapters[name], with_condition=with_condition, generator=generator_for(0)
    )
    move(adapter, 2e-2)
    return adapter


def ours(base: Base, adapter: Any, params: Params, conditions: dict[str, bytes] | None = None) -> np.ndarray:
    settings = params.sample.model_copy(update={"num_inference_steps": 3, "batch_size": 2})
    requests = plan(PROMPTS, 1, seed=0)
    return np.stack([p for _, p in generate(base, adapter, requests, conditions, settings, SIZE_PX)])


def theirs(pipeline: Any, base: Base, params: Params, **more: Any) -> np.ndarray:
    return stock_pictures(pipeline, base, params, PROMPTS, **more)


def assert_same(found: np.ndarray, expected: np.ndarray, without: np.ndarray) -> None:
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= TOLERANCE
    assert np.abs(without.astype(int) - expected).max() > 4 * TOLERANCE  # the adapter shows


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


@pytest.mark.parametrize(
    "entry", [{}, {"lora_alpha": 2, "use_rslora": True}, {"train_text_encoder": True, "lora_alpha": 4}]
)
def test_diffusers_loads_a_lora(
    base: Base, base_folder: Path, values: dict[str, Any], tmp_path: Path, entry: dict[str, Any]
) -> None:
    values["adapters"]["dreambooth_lora"] |= entry
    params = parse_params(values)
    plain = ours(base, None, params)
    adapter = adapted(base, params, "dreambooth_lora")
    save_with_base(tmp_path, adapter, base)
    stock = load_base(base_folder)
    pipeline = make_pipeline(stock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT reads what transformers is about to rename
        pipeline.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    assert_same(theirs(pipeline, stock, params), ours(base, adapter, params), plain)


@pytest.mark.parametrize("name", ["oft", "boft", "hra", "psoft", "lokr"])
def test_peft_loads_what_is_saved(
    base: Base, base_folder: Path, params: Params, tmp_path: Path, name: str
) -> None:
    plain = ours(base, None, params)
    adapter = adapted(base, params, name)
    save_with_base(tmp_path, adapter, base)
    stock = load_base(base_folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BOFT has a CUDA extension, which it does without
        peft.PeftModel.from_pretrained(stock.unet, str(tmp_path))
    assert_same(theirs(make_pipeline(stock), stock, params), ours(base, adapter, params), plain)


@pytest.mark.parametrize("guess_mode", [False, True])
def test_diffusers_loads_a_controlnet(
    base: Base, base_folder: Path, params: Params, tmp_path: Path, guess_mode: bool
) -> None:
    params = params.model_copy(update={"sample": params.sample.model_copy(update={"guess_mode": guess_mode})})
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)) for _ in PROMPTS]
    conditions = {key: png(picture) for key, picture in zip(PROMPTS, pictures, strict=True)}
    plain = ours(base, None, params)
    adapter = adapted(base, params, "controlnet", with_condition=True)
    save_with_base(tmp_path, adapter, base)
    stock = load_base(base_folder)
    pipeline = diffusers.StableDiffusionControlNetPipeline(
        vae=stock.vae,
        text_encoder=stock.text_encoder,
        tokenizer=stock.tokenizer,
        unet=stock.unet,
        controlnet=diffusers.ControlNetModel.from_pretrained(tmp_path),
        scheduler=stock.noise_scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    size = {"height": SIZE_PX, "width": SIZE_PX}
    found = theirs(pipeline, stock, params, image=pictures, guess_mode=guess_mode, **size)
    assert_same(found, ours(base, adapter, params, conditions), plain)


def test_diffusers_loads_a_fully_finetuned_unet(
    base: Base, base_folder: Path, params: Params, tmp_path: Path
) -> None:
    plain = ours(base, None, params)
    adapter = adapted(base, params, "dreambooth")
    save_with_base(tmp_path, adapter, base)
    stock = load_base(base_folder)
    pipeline = make_pipeline(stock)
    pipeline.unet = diffusers.UNet2DConditionModel.from_pretrained(tmp_path, subfolder="unet")
    assert_same(theirs(pipeline, stock, params), ours(base, adapter, params), plain)


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
