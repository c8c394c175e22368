"""Sampling: one seed a picture, so a picture never depends on batch, shard, executor or machine."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oft.data.pictures import decode_array, encode_png
from oft.data.shards import read_shards
from oft.data.tars import add_member
from oft.errors import DataError
from oft.seeding import derive_seed, generator_for
from oft.storage import atomic_file, read_json

if TYPE_CHECKING:
    from oft.models.base import Base
    from oft.params import Sampling, SchedulerName


@dataclass(frozen=True)
class Request:
    """One picture to generate: which sample, the how manieth of it, from what and with which seed."""

    key: str
    index: int
    prompt: str
    seed: int

    @property
    def name(self) -> str:
        """The picture's name in its tar."""
        return f"{self.key}-{self.index}"


def task_prompts(shards: Path) -> dict[str, str]:
    """Return the prompts by key: a subject's own, else each validation sample's first caption."""
    prompts_file = shards / "prompts.json"
    if prompts_file.is_file():
        return dict(read_json(prompts_file)["prompts"])
    return {sample.key: sample.meta["captions"][0] for sample in read_shards(shards, "val")}


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


def make_scheduler(name: SchedulerName, config: Any) -> Any:
    """Return diffusers' sampler of that name for a base's noise schedule."""
    import diffusers

    match name:
        case "ddim":
            return diffusers.DDIMScheduler.from_config(config, clip_sample=False)
        case "dpmsolver++":
            return diffusers.DPMSolverMultistepScheduler.from_config(
                config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=True
            )
        case "unipc":
            return diffusers.UniPCMultistepScheduler.from_config(config)
        case "euler":
            return diffusers.EulerDiscreteScheduler.from_config(config)
        case "heun":
            return diffusers.HeunDiscreteScheduler.from_config(config)


def generate(
    base: Base,
    requests: Sequence[Request],
    conditions: dict[str, bytes] | None,
    settings: Sampling,
    resolution_px: int,
) -> Iterator[tuple[Request, NDArray[np.uint8]]]:
    """Yield each request with its picture, uint8 [h, w, 3].

    Batches are always full (the last one is filled up and its surplus thrown away), so that a picture's bytes
    do not depend on how many others were asked for.

    Args:
        base: its UNet carries the adapter, and the hint encoder if there are ``conditions``.
        conditions: encoded conditioning image of each key.
    """
    import torch

    from oft.models.base import latent_shape, make_pipeline
    from oft.models.prompts import encode_prompts

    pipeline = make_pipeline(base)
    shape = latent_shape(base, resolution_px)
    unconditional = encode_prompts(base, [""])
    for start in range(0, len(requests), settings.batch_size):
        batch = list(requests[start : start + settings.batch_size])
        filled = batch + [batch[-1]] * (settings.batch_size - len(batch))
        # A fresh scheduler: multistep ones carry a history from call to call.
        pipeline.scheduler = make_scheduler(settings.scheduler, base.noise_scheduler.config)
        latents = torch.stack([torch.randn(shape, generator=generator_for(r.seed)) for r in filled])
        with torch.inference_mode(), _hinted(base, filled, conditions):
            output = pipeline(
                prompt_embeds=encode_prompts(base, [request.prompt for request in filled]),
                negative_prompt_embeds=unconditional.expand(len(filled), -1, -1),
                latents=latents.to(base.unet.device),
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
                output_type="pt",
            ).images
        pictures = (output.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
        yield from zip(batch, pictures, strict=False)


def _hinted(
    base: Base, requests: Sequence[Request], conditions: dict[str, bytes] | None
) -> AbstractContextManager[None]:
    """Return the context in which the UNet sees the requests' conditioning images."""
    if conditions is None:
        return nullcontext()
    from oft.adapters.hint_encoder import hint
    from oft.models.conditioning import conditioning_tensor

    images = conditioning_tensor(conditions[request.key] for request in requests).to(base.unet.device)
    return hint(base.unet, base.unet.hint_encoder(images))


def write_samples(target: Path, pictures: Iterable[tuple[Request, NDArray[np.uint8]]]) -> int:
    """Write pictures (PNG) and requests (JSON) as one tar, whole or not at all; return how many."""
    count = 0
    with atomic_file(target) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for request, picture in pictures:
            add_member(tar, f"{request.name}.png", encode_png(picture))
            add_member(tar, f"{request.name}.json", json.dumps(asdict(request), sort_keys=True).encode())
            count += 1
    return count


def read_samples(folder: Path) -> Iterator[tuple[Request, NDArray[np.uint8]]]:
    """Yield the requests and pictures of all sample tars in a folder, in order of key and index.

    Raises:
        DataError: a tar is damaged.
    """
    found: dict[tuple[str, int], tuple[Request, bytes]] = {}
    for path in sorted(folder.glob("*.tar")):
        try:
            with tarfile.open(path) as tar:
                members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
                contents = {name: stream.read() for name, stream in members.items() if stream}
        except (tarfile.TarError, OSError) as fault:
            raise DataError(
                f"{path}: damaged ({fault}); delete it and run `dvc repro` for its stage again"
            ) from fault
        for name, data in contents.items():
            if name.endswith(".json"):
                request = Request(**json.loads(data))
                found[request.key, request.index] = (request, contents[f"{request.name}.png"])
    for _, (request, data) in sorted(found.items()):
        yield request, decode_array(data).astype(np.uint8)
