"""Stable Diffusion XL through all that a stage does with a base: pictures, losses, files of stock diffusers.

The base is tiny and random, of every part that the real one has; its single-file form is converted first.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from oft.adapters.protocol import Adapter
from oft.errors import ParamsError
from oft.exchange import export_adapter
from oft.models.adapted import init_adapter, load_adapter_onto, save_with_base
from oft.models.base import Base, load_base
from oft.params import Params, parse_params
from oft.sampling import Redrawing, generate, plan
from oft.seeding import derive_seed, generator_for
from oft.shards.order import BatchOrder
from oft.shards.store import ShardFolder
from oft.training.encoded import open_encoded, write_encoded
from oft.training.objective import Denoiser, TrainingSource, data_objective, draw_batch
from tests.adapters import move, stock_pictures, train_briefly
from tests.conftest import SIZE_PX
from tests.oft.training.conftest import training_set

PROMPTS = {"a": "a red house!", "b": "a boat"}
KINDS = ("oft", "hint", "lora", "controlnet", "full")
TOLERANCE = 2  # of 255: weights and products are summed in another order


@pytest.fixture
def base(xl_folder: Path) -> Base:
    return load_base(xl_folder)


@pytest.fixture
def params(values: dict[str, Any]) -> Params:
    values["sample"] |= {"scheduler": "euler", "num_inference_steps": 3, "batch_size": 2}
    return parse_params(values)


@pytest.fixture(scope="module")
def conditions() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return {key: png(rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)) for key in PROMPTS}


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def adapted(base: Base, params: Params, name: str, *, with_condition: bool = True) -> Adapter:
    return init_adapter(
        base, params.adapters[name], with_condition=with_condition, generator=generator_for(0)
    )


def moved(adapter: Adapter) -> Adapter:
    """The adapter well away from the identity."""
    move(adapter, 5e-2)
    return adapter


def calls_of(unet: Any, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, list[dict[str, Tensor]]]:
    """What ``draw`` draws, and what the UNet was given in each of its calls."""
    calls: list[dict[str, Tensor]] = []

    def keep(unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = {"states": kwargs["encoder_hidden_states"], **kwargs["added_cond_kwargs"]}
        calls.append({"sample": args[0], "timestep": args[1], **given})

    handle = unet.register_forward_pre_hook(keep, with_kwargs=True)
    drawn = draw()
    handle.remove()
    return drawn, calls


def ours(
    base: Base, adapter: Adapter | None, params: Params, conditions: dict[str, bytes] | None = None
) -> np.ndarray:
    drawn = generate(base, adapter, plan(PROMPTS, 1, seed=0), conditions, params.sample, SIZE_PX)
    return np.stack([picture for _, picture in drawn])


def theirs(pipeline: Any, base: Base, params: Params, **more: Any) -> np.ndarray:
    """The pictures of a stock pipeline from the noise of our seeds, with its own text, sizes and guidance."""
    sizes = {"height": SIZE_PX, "width": SIZE_PX}
    return stock_pictures(pipeline, base, params, PROMPTS, pipeline.scheduler.config, **sizes, **more)


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("scheduler", ["euler", "dpmsolver++", "ddim"])
@pytest.mark.parametrize("negative_prompt", ["", "a blue cat"])
def test_it_draws_what_the_stock_pipeline_draws(
    base: Base, xl_folder: Path, params: Params, scheduler: str, negative_prompt: str
) -> None:
    sample = params.sample.model_copy(update={"scheduler": scheduler, "negative_prompt": negative_prompt})
    params = params.model_copy(update={"sample": sample})
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(xl_folder)
    negative = {"negative_prompt": [negative_prompt] * 2} if negative_prompt else {}
    expected, stock_calls = calls_of(pipeline.unet, lambda: theirs(pipeline, base, params, **negative))
    found, calls = calls_of(base.unet, lambda: ours(base, None, params))
    assert difference(found, expected) <= 1 and expected.std() > 10
    assert len(calls) == len(stock_calls) == 3
    for call, stock_call in zip(calls, stock_calls, strict=True):
        assert call.keys() == stock_call.keys() and "time_ids" in call
        for name, value in call.items():
            torch.testing.assert_close(value, stock_call[name], rtol=1e-4, atol=1e-4)


def test_a_picture_is_drawn_over_and_keeps_what_lies_outside_the_mask(base: Base, params: Params) -> None:
    rng = np.random.default_rng(1)
    pictures = {key: rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8) for key in PROMPTS}
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    mask[16:48, 16:48] = True
    redrawing = Redrawing(pictures, 0.7, dict.fromkeys(PROMPTS, mask))
    requests = plan(PROMPTS, 1, seed=0)
    for request, picture in generate(base, None, requests, None, params.sample, SIZE_PX, redrawing):
        assert np.array_equal(picture[~mask], pictures[request.key][~mask])
        assert difference(picture[mask], pictures[request.key][mask]) > 50


@pytest.mark.parametrize("name", KINDS)
def test_an_adapter_starts_as_the_base_and_merged_draws_what_it_draws(
    base: Base, params: Params, conditions: dict[str, bytes], name: str
) -> None:
    alone = ours(base, None, params)
    adapter = adapted(base, params, name)
    assert difference(ours(base, adapter, params, conditions), alone) <= 1
    moved(adapter)
    apart = ours(base, adapter, params, conditions)
    assert difference(apart, alone) > 2 * TOLERANCE  # it shows
    with adapter.merging():
        assert difference(ours(base, adapter, params, conditions), apart) <= TOLERANCE


@pytest.mark.parametrize("name", KINDS)
def test_an_adapter_learns_is_kept_and_comes_back(
    base: Base, xl_folder: Path, params: Params, shards_folder: Path, tmp_path: Path, name: str,
    conditions: dict[str, bytes],
) -> None:  # fmt: skip
    adapter = adapted(base, params, name)
    before = {key: value.detach().clone() for key, value in adapter.trained_parameters().items()}
    log = train_briefly(base, adapter, params, shards_folder, tmp_path, steps=2)
    assert np.isfinite(log[-1]["loss"])
    after = adapter.trained_parameters()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    save_with_base(tmp_path / "saved", adapter, base)
    other = load_base(xl_folder)
    loaded = load_adapter_onto(other, tmp_path / "saved")
    found, expected = ours(other, loaded, params, conditions), ours(base, adapter, params, conditions)
    assert np.array_equal(found, expected)


def test_a_training_step_is_that_of_diffusers_trainer(
    base: Base, params: Params, shards_folder: Path
) -> None:
    """The recipe of examples/text_to_image/train_text_to_image_sdxl.py, written out."""
    adapter = moved(adapted(base, params, "oft", with_condition=False))
    update = {"batch_size": 4, "snr_gamma": 0.0, "prompt_dropout": 0.0, "offset_noise": 0.0}
    settings = params.train.model_copy(update=update)
    data = training_set(shards_folder, with_condition=False)
    denoiser = Denoiser(base.unet, adapter)
    (loss,) = data_objective(base, denoiser, [TrainingSource(data, "instance")], settings, seed=0)(3)
    loss.backward()
    trained = adapter.trained_parameters()
    gradients = {name: value.grad.clone() for name, value in trained.items() if value.grad is not None}
    for value in trained.values():
        value.grad = None

    # What is random is taken over: the same samples, noise, timesteps and captions.
    numbers = BatchOrder(data.shards, settings.batch_size, derive_seed(0, "instance"))(3)
    batch = draw_batch(base, data, data.load(numbers), 0.0, 0, "instance", 3)
    expected = recipe_loss(base, batch.latents, batch.noise, batch.timesteps, list(batch.prompts))
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert len(gradients) == len(trained)
    for name, value in trained.items():
        torch.testing.assert_close(gradients[name], value.grad, rtol=1e-4, atol=1e-7)


def recipe_loss(base: Base, latents: Tensor, noise: Tensor, timesteps: Tensor, prompts: list[str]) -> Tensor:
    prompt_embeds_list = []
    for tokenizer, text_encoder in zip(base.tokenizers, base.text_encoders, strict=True):
        text_inputs = tokenizer(
            prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True,
            return_tensors="pt",
        )  # fmt: skip
        outputs = text_encoder(text_inputs.input_ids, output_hidden_states=True, return_dict=False)
        pooled_prompt_embeds, prompt_embeds = outputs[0], outputs[-1][-2]
        prompt_embeds_list.append(prompt_embeds.view(len(prompts), prompt_embeds.shape[1], -1))
    prompt_embeds = torch.concat(prompt_embeds_list, dim=-1)
    pooled_prompt_embeds = pooled_prompt_embeds.view(len(prompts), -1)

    def compute_time_ids(original_size: tuple[int, int], crop_top_left: tuple[int, int]) -> Tensor:
        return torch.tensor([list(original_size + crop_top_left + (SIZE_PX, SIZE_PX))])

    time_ids = torch.cat([compute_time_ids((SIZE_PX, SIZE_PX), (0, 0)) for _ in prompts])
    noisy = base.noise_scheduler.add_noise(latents, noise, timesteps)
    predicted = base.unet(
        noisy, timesteps, prompt_embeds,
        added_cond_kwargs={"time_ids": time_ids, "text_embeds": pooled_prompt_embeds}, return_dict=False,
    )[0]  # fmt: skip
    return F.mse_loss(predicted.float(), noise.float(), reduction="mean")


def test_captions_that_are_kept_are_those_encoded_in_the_step(
    base: Base, shards_folder: Path, tmp_path: Path
) -> None:
    store = ShardFolder(shards_folder)
    write_encoded(base, store, tmp_path, latents=True, text=True)
    kept = training_set(shards_folder, open_encoded(tmp_path, base, store, ""))
    computed = training_set(shards_folder)
    wanted = ["a house", "", "a red house", "a house", "never kept"]
    one, other = kept.encode_prompts(base, wanted), computed.encode_prompts(base, wanted)
    assert one.pooled is not None and other.pooled is not None
    torch.testing.assert_close(one.hidden_states, other.hidden_states)
    torch.testing.assert_close(one.pooled, other.pooled)
    assert not one.hidden_states[1].any() and not one.pooled[1].any()  # no prompt is zeros, in training too


def test_the_text_encoders_are_not_trained_and_that_is_said(base: Base, values: dict[str, Any]) -> None:
    values["adapters"]["lora"] |= {"train_text_encoder": True}
    with pytest.raises(ParamsError, match="train_text_encoder: is for a base with one text encoder"):
        adapted(base, parse_params(values), "lora")


def test_diffusers_loads_a_lora(base: Base, xl_folder: Path, params: Params, tmp_path: Path) -> None:
    adapter = moved(adapted(base, params, "lora", with_condition=False))
    save_with_base(tmp_path, adapter, base)
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(xl_folder)
    without = theirs(pipeline, base, params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT reads what transformers is about to rename
        pipeline.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    expected = theirs(pipeline, base, params)
    assert difference(ours(base, adapter, params), expected) <= TOLERANCE
    assert difference(without, expected) > 2 * TOLERANCE


@pytest.mark.parametrize("guess_mode", [False, True])
def test_diffusers_loads_a_controlnet(
    base: Base,
    xl_folder: Path,
    params: Params,
    tmp_path: Path,
    conditions: dict[str, bytes],
    guess_mode: bool,
) -> None:
    params = params.model_copy(update={"sample": params.sample.model_copy(update={"guess_mode": guess_mode})})
    adapter = moved(adapted(base, params, "controlnet"))
    save_with_base(tmp_path, adapter, base)
    controlnet = diffusers.ControlNetModel.from_pretrained(tmp_path)
    pipeline = diffusers.StableDiffusionXLControlNetPipeline.from_pretrained(xl_folder, controlnet=controlnet)
    images = [Image.open(io.BytesIO(condition)) for condition in conditions.values()]
    expected = theirs(pipeline, base, params, image=images, guess_mode=guess_mode)
    assert difference(ours(base, adapter, params, conditions), expected) <= TOLERANCE
    assert difference(ours(base, adapter, params), expected) > TOLERANCE  # it sees the image


def test_a_merged_checkpoint_is_loaded_by_diffusers_and_is_a_base(
    base: Base, xl_folder: Path, params: Params, tmp_path: Path
) -> None:
    adapter = moved(adapted(base, params, "oft", with_condition=False))
    save_with_base(tmp_path / "saved", adapter, base)
    export_adapter(tmp_path / "saved", xl_folder, tmp_path / "merged", "diffusers")
    found = ours(base, adapter, params)
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(tmp_path / "merged")
    assert difference(theirs(pipeline, base, params), found) <= TOLERANCE
    merged = load_base(tmp_path / "merged")
    assert difference(ours(merged, None, params), found) <= TOLERANCE
    assert merged.hash != base.hash and merged.zeroes_empty_prompts


@pytest.mark.parametrize("form", ["delta", "kohya", "onetrainer", "diffusers-control"])
def test_formats_that_name_layers_otherwise_in_xl_are_refused(
    xl_folder: Path, tmp_path: Path, form: str
) -> None:
    target = tmp_path / ("out" if form == "diffusers-control" else "out.safetensors")
    with pytest.raises(ParamsError, match=r"choose one of .*lora"):
        export_adapter(tmp_path, xl_folder, target, form)
    assert not target.exists()
