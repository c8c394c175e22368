"""Sampling: a picture depends on its own seed, never on shard or batch; identity draws the base's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from oft.models.adapted import init_adapter
from oft.models.base import Base, load_base, make_pipeline
from oft.params import Params
from oft.sampling import (
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
