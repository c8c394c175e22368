"""Sampling: one seed a picture, so a picture never depends on batch, shard, executor or machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8

from oft.errors import DataError, ParamsError
from oft.schedulers import make_scheduler
from oft.seeding import derive_seed, generator_for
from oft.shards.shards import read_shards
from oft.storage import read_json
from oft.types import Request

if TYPE_CHECKING:
    from oft.adapters.protocol import Adapter
    from oft.models.base import Base
    from oft.settings.evaluation import Sampling


def task_prompts(shards: Path) -> dict[str, str]:
    """Return the prompts by key: those of a subject or a style, else each validation sample's first caption.

    Raises:
        DataError: there is nothing to draw.
    """
    prompts_file = shards / "prompts.json"
    if prompts_file.is_file():
        return dict(read_json(prompts_file)["prompts"])
    prompts = {sample.key: sample.meta["captions"][0] for sample in read_shards(shards, "val")}
    if not prompts:
        raise DataError(
            f"{shards}: there is no validation sample to draw for; give the data set validation pictures "
            f"(docs/datasets.md), or see {shards}.counts.json for what was dropped"
        )
    return prompts


def task_conditions(shards: Path) -> dict[str, bytes]:
    """Return the encoded conditioning image of each validation sample, by key."""
    return {s.key: s.condition for s in read_shards(shards, "val") if s.condition is not None}


def plan(prompts: dict[str, str], num_samples: int, seed: int) -> list[Request]:
    """Return ``num_samples`` requests for each key and prompt, in order of key."""
    return [
        Request(key, index, prompts[key], derive_seed(seed, "sample", key, index))
        for key in sorted(prompts)
        for index in range(num_samples)
    ]


def shard_of(requests: Sequence[Request], shard: int, num_shards: int) -> list[Request]:
    """Return the requests of one shard: every ``num_shards``-th, so shards are equally long."""
    return list(requests[shard::num_shards])


@dataclass(frozen=True)
class Redrawing:
    """Pictures to start from instead of noise (img2img; SDEdit, arXiv 2108.01073), whole or inside masks.

    Attributes:
        pictures: by key, uint8 [resolution, resolution, 3].
        noise: how much of the way to noise each goes first, above 0 to 1: at 1 only its layout can be left.
        masks: by key, bool [resolution, resolution], what is drawn anew; the rest keeps its pixels. None for
            all of every picture.
    """

    pictures: Mapping[str, UInt8[np.ndarray, "side side 3"]]
    noise: float
    masks: Mapping[str, Bool[np.ndarray, "side side"]] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.noise <= 1:
            raise ParamsError(f"noise ({self.noise}) must be above 0 and at most 1, for example 0.7")


def generate(
    base: Base,
    adapter: Adapter | None,
    requests: Sequence[Request],
    conditions: dict[str, bytes] | None,
    settings: Sampling,
    resolution_px: int,
    redrawing: Redrawing | None = None,
) -> Iterator[tuple[Request, UInt8[np.ndarray, "height width 3"]]]:
    """Yield each request with its picture.

    Batches are always full (the last one is filled up and its surplus thrown away), so that a picture's bytes
    do not depend on how many others were asked for. Each picture has a generator of its own, from which come
    its first latents and then what noise the sampler adds.

    Args:
        adapter: the one on the base's UNet; None for the base alone.
        conditions: encoded conditioning image of each key, for an adapter that takes them.
        redrawing: pictures of the keys to start from.
    """
    import torch

    from oft.models.base import latent_shape, make_pipeline
    from oft.models.prompts import encode_prompts
    from oft.models.redrawing import draw_over, redrawing_pipeline

    pipeline = make_pipeline(base) if redrawing is None else redrawing_pipeline(base)
    shape = latent_shape(base, resolution_px)
    unconditional = encode_prompts(base, [settings.negative_prompt])[[0] * settings.batch_size]
    for start in range(0, len(requests), settings.batch_size):
        batch = list(requests[start : start + settings.batch_size])
        filled = batch + [batch[-1]] * (settings.batch_size - len(batch))
        # A fresh scheduler: multistep ones carry a history from call to call.
        pipeline.scheduler = make_scheduler(
            settings.scheduler, base.noise_scheduler.config, settings.karras_sigmas
        )
        generators = [generator_for(request.seed) for request in filled]
        latents = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        with torch.inference_mode(), _conditioned(base, adapter, filled, conditions, settings.guess_mode):
            embeds = encode_prompts(base, [request.prompt for request in filled])
            arguments = {
                **embeds.pipeline_arguments(unconditional),
                "generator": generators,
                "eta": settings.eta,
                "num_inference_steps": settings.num_inference_steps,
                "guidance_scale": settings.guidance_scale,
                "output_type": "pt",
            }
            if redrawing is None:
                size = {"height": resolution_px, "width": resolution_px}
                output = pipeline(latents=latents.to(base.unet.device), **size, **arguments).images
            else:
                keys = [request.key for request in filled]
                sources = [redrawing.pictures[key] for key in keys]
                masks = None if redrawing.masks is None else [redrawing.masks[key] for key in keys]
                output = draw_over(base, pipeline, sources, masks, redrawing.noise, latents, arguments)
        pictures = (output.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
        yield from zip(batch, pictures, strict=False)


def draw_prompts(
    base: Base,
    adapter: Adapter | None,
    prompts: Sequence[str],
    settings: Sampling,
    resolution_px: int,
    seed: int,
) -> UInt8[np.ndarray, "n height width 3"]:
    """Return a picture of each prompt; an adapter that takes conditioning images sees none."""
    requests = plan({f"{place:04d}": prompt for place, prompt in enumerate(prompts)}, 1, seed)
    settings = settings.model_copy(update={"batch_size": min(settings.batch_size, len(requests))})
    drawn = generate(base, adapter, requests, None, settings, resolution_px)
    return np.stack([picture for _, picture in drawn])


def _conditioned(
    base: Base,
    adapter: Adapter | None,
    requests: Sequence[Request],
    conditions: dict[str, bytes] | None,
    guess_mode: bool,
) -> AbstractContextManager[None]:
    """Return the context in which the UNet sees the requests' conditioning images."""
    if adapter is None:
        return nullcontext()
    if conditions is None:
        return adapter.conditioned(None)
    from oft.models.conditioning import conditioning_tensor

    images = conditioning_tensor(conditions[request.key] for request in requests).to(base.unet.device)
    if guess_mode and adapter.takes_condition:
        return adapter.guess_mode(images)
    return adapter.conditioned(images)
