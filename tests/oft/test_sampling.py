"""Sampling: a picture depends on its own seed, never on shard or batch; identity draws the base's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from oft.adapters.protocol import Adapter
from oft.errors import ParamsError
from oft.evaluation.task import reconstruct
from oft.models.adapted import init_adapter
from oft.models.base import Base, load_base, make_pipeline
from oft.params import Params
from oft.sampling import (
    Redrawing,
    generate,
    plan,
    shard_of,
    task_conditions,
    task_prompts,
)
from oft.schedulers import SCHEDULERS, make_scheduler
from oft.seeding import generator_for
from oft.settings.evaluation import Sampling
from oft.types import Request
from tests.adapters import move
from tests.conftest import SIZE_PX

PROMPTS = {"b": "a red house", "a": "a tree on the grass", "c": "a boat"}


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


@pytest.fixture
def settings(params: Params) -> Sampling:
    return params.sample.model_copy(update={"num_inference_steps": 3, "batch_size": 4})


def draw(base: Base, requests: list[Request], settings: Sampling) -> dict[str, np.ndarray]:
    return {r.name: picture for r, picture in generate(base, None, requests, None, settings, SIZE_PX)}


def test_requests_are_ordered_and_seeded_by_name() -> None:
    requests = plan(PROMPTS, 2, seed=7)
    assert [request.name for request in requests] == ["a-0", "a-1", "b-0", "b-1", "c-0", "c-1"]
    assert len({request.seed for request in requests}) == 6
    assert requests == plan(dict(reversed(PROMPTS.items())), 2, seed=7)
    assert requests[0].seed != plan(PROMPTS, 2, seed=8)[0].seed


@pytest.mark.parametrize("num_shards", [1, 2, 4, 9])
def test_shards_cover_everything_once(num_shards: int) -> None:
    requests = plan(PROMPTS, 2, seed=0)
    dealt = [request for shard in range(num_shards) for request in shard_of(requests, shard, num_shards)]
    assert sorted(dealt, key=lambda request: request.name) == requests


def test_one_and_four_shards_give_the_same_bytes(base: Base, settings: Sampling) -> None:
    requests = plan(PROMPTS, 2, seed=0)
    whole = draw(base, requests, settings)
    parts: dict[str, np.ndarray] = {}
    for shard in range(4):
        parts |= draw(base, shard_of(requests, shard, 4), settings)
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_batch_size_changes_only_rounding(base: Base, settings: Sampling) -> None:
    requests = plan(PROMPTS, 1, seed=0)
    whole = draw(base, requests, settings)
    single = draw(base, requests, settings.model_copy(update={"batch_size": 1}))
    assert max(int(np.abs(whole[name].astype(int) - single[name]).max()) for name in whole) <= 1


@pytest.mark.parametrize("name", ["oft", "coft", "hint"])
def test_an_adapter_at_identity_draws_what_the_base_draws(
    base: Base, settings: Sampling, params: Params, shards_folder: Path, name: str
) -> None:
    conditions = task_conditions(shards_folder)
    requests = plan(task_prompts(shards_folder), 1, seed=0)
    alone = draw(base, requests, settings)
    adapter = init_adapter(base, params.adapters[name], with_condition=True, generator=generator_for(0))
    adapter.merge()
    adapted = {r.name: p for r, p in generate(base, adapter, requests, conditions, settings, SIZE_PX)}
    assert max(int(np.abs(alone[name].astype(int) - adapted[name]).max()) for name in alone) <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_draws_a_picture(base: Base, settings: Sampling, name: str) -> None:
    settings = settings.model_copy(update={"scheduler": name, "num_inference_steps": 4, "batch_size": 1})
    (picture,) = draw(base, plan({"a": "a tree"}, 1, seed=0), settings).values()
    assert picture.shape == (SIZE_PX, SIZE_PX, 3) and picture.dtype == np.uint8 and picture.std() > 1


STOCHASTIC = [name for name, sampler in SCHEDULERS.items() if sampler.is_stochastic]


@pytest.mark.parametrize("name", ["ddim", *STOCHASTIC])
def test_noise_on_the_way_is_the_pictures_own(base: Base, settings: Sampling, name: str) -> None:
    """A picture has the same bytes alone, in a batch and in any shard; without its noise it is another."""
    eta = 1.0 if name == "ddim" else 0.0
    noisy = settings.model_copy(
        update={"scheduler": name, "eta": eta, "num_inference_steps": 2, "batch_size": 2}
    )
    requests = plan(PROMPTS, 1, seed=0)
    whole = draw(base, requests, noisy)
    alone: dict[str, np.ndarray] = {}
    for shard in range(3):
        alone |= draw(base, shard_of(requests, shard, 3), noisy)
    assert whole.keys() == alone.keys()
    assert all(np.array_equal(whole[one], alone[one]) for one in whole)
    single = draw(base, requests[1:2], noisy.model_copy(update={"batch_size": 1}))
    assert int(np.abs(whole["b-0"].astype(int) - single["b-0"]).max()) <= 1
    if name == "ddim":
        assert (draw(base, requests[1:2], noisy.model_copy(update={"eta": 0.0}))["b-0"] != whole["b-0"]).any()


@pytest.mark.parametrize("name", ["ddim", "euler_a"])
def test_noise_is_drawn_as_diffusers_pipeline_draws_it(base: Base, settings: Sampling, name: str) -> None:
    """Parity with the pipeline given one generator a picture and nothing else."""
    changes = {"scheduler": name, "eta": 0.7 if name == "ddim" else 0.0, "negative_prompt": "a tree"}
    settings = settings.model_copy(update={**changes, "batch_size": 2, "num_inference_steps": 2})
    requests = plan({"a": "a boat", "b": "a red house"}, 1, seed=0)
    pipeline = make_pipeline(base)
    pipeline.scheduler = make_scheduler(name, base.noise_scheduler.config)
    theirs = pipeline(
        [request.prompt for request in requests],
        negative_prompt=["a tree"] * 2,
        height=SIZE_PX,
        width=SIZE_PX,
        generator=[generator_for(request.seed) for request in requests],
        eta=settings.eta,
        num_inference_steps=2,
        guidance_scale=settings.guidance_scale,
        output_type="np",
    ).images
    for ours, their in zip(draw(base, requests, settings).values(), theirs, strict=True):
        assert np.abs(ours.astype(int) - (their * 255).round().astype(int)).max() <= 1


def test_karras_sigmas_and_a_negative_prompt_change_a_picture(base: Base, settings: Sampling) -> None:
    request = plan({"a": "a red house"}, 1, seed=0)
    settings = settings.model_copy(update={"batch_size": 1, "num_inference_steps": 2})
    (own,) = draw(base, request, settings).values()
    for change in ({"karras_sigmas": False}, {"negative_prompt": "a house"}):
        (changed,) = draw(base, request, settings.model_copy(update=change)).values()
        assert (changed != own).any()
    (same,) = draw(base, request, settings.model_copy(update={"karras_sigmas": True})).values()
    np.testing.assert_array_equal(same, own)  # dpmsolver++ has them of its own


def test_guess_mode_changes_pictures_of_adapters_with_a_hint_alone(
    base: Base, settings: Sampling, params: Params, shards_folder: Path
) -> None:
    conditions = task_conditions(shards_folder)
    requests = plan(task_prompts(shards_folder), 1, seed=0)
    guessing = settings.model_copy(update={"guess_mode": True, "num_inference_steps": 1})

    def stack(adapter: Adapter | None, settings: Sampling) -> np.ndarray:
        drawn = generate(base, adapter, requests, conditions, settings, SIZE_PX)
        return np.stack([picture for _, picture in drawn])

    unguided = guessing.model_copy(update={"guess_mode": False})
    np.testing.assert_array_equal(stack(None, guessing), stack(None, unguided))
    plain = init_adapter(base, params.adapters["oft"], with_condition=False, generator=generator_for(0))
    np.testing.assert_array_equal(stack(plain, guessing), stack(plain, unguided))
    plain.remove()
    hint = init_adapter(base, params.adapters["hint"], with_condition=True, generator=generator_for(0))
    move(hint, 0.05)
    guessed = stack(hint, guessing)
    assert (guessed != stack(hint, unguided)).any()
    np.testing.assert_array_equal(guessed, stack(hint, guessing))


def test_schedulers_agree_in_the_limit(base: Base, settings: Sampling) -> None:
    """All samplers integrate one equation: with many steps they reach about the same picture."""
    request = plan({"a": "a red house"}, 1, seed=0)
    pictures = [
        draw(
            base,
            request,
            settings.model_copy(update={"scheduler": n, "num_inference_steps": 60, "batch_size": 1}),
        )["a-0"]
        for n in ("ddim", "dpmsolver++")
    ]
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 8


def test_ddim_is_the_pipelines_own(base: Base, settings: Sampling) -> None:
    """Parity with diffusers' pipeline called in its plain way."""
    (request,) = plan({"a": "a boat on the sea"}, 1, seed=0)
    settings = settings.model_copy(update={"batch_size": 1, "scheduler": "ddim"})
    ours = draw(base, [request], settings)["a-0"]
    pipeline = make_pipeline(base)
    pipeline.scheduler = make_scheduler("ddim", base.noise_scheduler.config)
    theirs = pipeline(
        request.prompt,
        height=SIZE_PX,
        width=SIZE_PX,
        latents=torch.randn((1, 16, 8, 8), generator=generator_for(request.seed)),
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        output_type="np",
    ).images[0]
    assert np.abs(ours.astype(int) - (theirs * 255).round().astype(int)).max() <= 1


def sources(noise: float, *, masked: bool = False) -> Redrawing:
    """Halves of two colours to start from, and a mask of a corner."""
    picture = np.full((SIZE_PX, SIZE_PX, 3), (40, 90, 200), np.uint8)
    picture[SIZE_PX // 2 :] = (90, 170, 60)
    mask = np.zeros((SIZE_PX, SIZE_PX), bool)
    mask[: SIZE_PX // 2, : SIZE_PX // 2] = True
    return Redrawing(dict.fromkeys(PROMPTS, picture), noise, dict.fromkeys(PROMPTS, mask) if masked else None)


def redraw(base: Base, settings: Sampling, redrawing: Redrawing, num: int = 3) -> dict[str, np.ndarray]:
    requests = plan(PROMPTS, 1, seed=0)[:num]
    drawn = generate(base, None, requests, None, settings, SIZE_PX, redrawing)
    return {request.key: picture for request, picture in drawn}


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++", "euler_a", "heun"])
def test_the_less_noise_the_nearer_to_the_picture_it_started_from(
    base: Base, settings: Sampling, scheduler: str
) -> None:
    settings = settings.model_copy(update={"scheduler": scheduler, "num_inference_steps": 10})

    # As near as the autoencoder comes: that is where a picture without noise would be.
    start = reconstruct(base, sources(1.0).pictures["a"][None], 1)[0].astype(float)

    def distance(noise: float) -> float:
        return float(np.abs(redraw(base, settings, sources(noise), 1)["a"] - start).mean())

    near, between, far = distance(0.1), distance(0.6), distance(1.0)
    assert near < min(between, far) / 4


def test_outside_a_mask_pixels_stay_and_inside_they_change(base: Base, settings: Sampling) -> None:
    settings = settings.model_copy(update={"num_inference_steps": 6})
    start = sources(1.0, masked=True)
    assert start.masks is not None
    for key, picture in redraw(base, settings, start).items():
        changed = (picture != start.pictures[key]).any(axis=2)
        assert not changed[~start.masks[key]].any() and changed[start.masks[key]].mean() > 0.9


def test_a_redrawn_picture_depends_on_its_seed_alone(base: Base, settings: Sampling) -> None:
    start = sources(0.7, masked=True)
    together = redraw(base, settings, start)
    np.testing.assert_array_equal(redraw(base, settings, start, 1)["a"], together["a"])


def test_no_noise_is_no_redrawing() -> None:
    with pytest.raises(ParamsError, match="must be above 0 and at most 1"):
        sources(0.0)
