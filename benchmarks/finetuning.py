"""Encoding, training and sampling as the stages do, with random weights of Stable Diffusion 1.5's sizes.

``python -m benchmarks.finetuning FILE`` measures with the settings of profile sd15-segm and writes JSON.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.loading import make_samples, open_shards
from oft.adapters.protocol import Adapter
from oft.models.adapted import init_adapter
from oft.models.architectures import write_configs
from oft.models.base import Base
from oft.models.conditioning import picture_tensor
from oft.models.device import choose_device, make_deterministic
from oft.models.latents import encode_pictures
from oft.params import Params, parse_params
from oft.profiles import compose_profile
from oft.sampling import generate, plan
from oft.seeding import generator_for
from oft.shards.shards import Sample, write_shards
from oft.storage import read_json, write_json
from oft.training.loop import TrainingLoop
from oft.training.objective import Denoiser, TrainingSource, data_objective
from oft.training.setup import make_accelerator, prepare_unet

ROOT = Path(__file__).parents[1]
PROFILE = "sd15-segm"
TOKENIZER = ROOT / "data" / "models" / "miniature" / "base" / "tokenizer"
BATCH_SIZE = 4
TRAIN_STEPS = 50
SAMPLED_BATCHES = 4
ENCODED_BATCHES = 6
NUM_PICTURES = 16
MIB = 1 << 20


class Stopwatch:
    """Seconds from call to call, each after the device has finished; the first call ends the warm-up."""

    def __init__(self) -> None:
        self._calls: list[float] = []
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def __call__(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._calls.append(time.perf_counter())

    def row(self, title: str, num_pictures: int) -> dict[str, Any]:
        """Return what was measured; memory is that of all tensors on a GPU, weights included."""
        seconds = [end - start for start, end in pairwise(self._calls)]
        peak_mib = torch.cuda.max_memory_allocated() / MIB if torch.cuda.is_available() else None
        return {
            "title": title,
            "run_seconds": seconds,
            "min_seconds": min(seconds),
            "median_seconds": statistics.median(seconds),
            "pictures_per_second": num_pictures / statistics.median(seconds),
            "peak_mib": peak_mib,
        }


def settings() -> Params:
    """Return the profile's settings, with a short training."""
    params = parse_params(compose_profile(ROOT / "conf", PROFILE), PROFILE)
    train = params.train.model_copy(update={"max_train_steps": TRAIN_STEPS, "batch_size": BATCH_SIZE})
    return params.model_copy(
        update={"train": train, "sample": params.sample.model_copy(update={"batch_size": BATCH_SIZE})}
    )


def random_base(device: str) -> Base:
    """Return networks of Stable Diffusion 1.5's sizes, equal every time, with the miniature vocabulary."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    def freeze(network: Any) -> Any:
        return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_configs("sd15", folder)
        noise_scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(0)
            unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
            vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
            text_encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER, model_max_length=77)
    return Base(freeze(unet), freeze(vae), freeze(text_encoder), tokenizer, noise_scheduler, hash="")


def measure(base: Base, params: Params) -> dict[str, Any]:
    """Return a row each for encoding, training and sampling with OFT on edges of photographs."""
    samples = list(make_samples(NUM_PICTURES, params.resolution_px, NUM_PICTURES))
    batch_size = params.train.batch_size
    rows = [_time_encoding(base, samples[:batch_size])]
    adapter = init_adapter(
        base, params.adapters["oft"], with_condition=True, generator=generator_for(params.seed, "init")
    )
    with TemporaryDirectory() as scratch:
        rows.append(_time_training(base, adapter, samples, params, Path(scratch)))
    adapter.merge()
    rows.append(_time_sampling(base, adapter, samples, params))
    return {
        "device": base.unet.device.type,
        "resolution_px": params.resolution_px,
        "batch_size": batch_size,
        "mixed_precision": params.train.mixed_precision,
        "scheduler": params.sample.scheduler,
        "num_inference_steps": params.sample.num_inference_steps,
        "rows": rows,
    }


def _time_encoding(base: Base, samples: Sequence[Sample]) -> dict[str, Any]:
    pictures = picture_tensor(sample.image for sample in samples)
    watch = Stopwatch()
    for _ in range(ENCODED_BATCHES):
        encode_pictures(base, pictures)
        watch()
    return watch.row("latents of pictures", len(pictures))


def _time_training(
    base: Base, adapter: Adapter, samples: Sequence[Sample], params: Params, scratch: Path
) -> dict[str, Any]:
    write_shards(samples, scratch / "shards", "train", NUM_PICTURES)
    accelerator = make_accelerator(params.train, scratch)
    prepare_unet(base.unet, params.train)
    denoiser = accelerator.prepare(Denoiser(base.unet, adapter, params.train.attention))
    data = TrainingSource(open_shards(scratch / "shards"), "instance")
    watch = Stopwatch()
    loop = TrainingLoop(
        accelerator,
        adapter.trained_parameters(),
        data_objective(base, denoiser, [data], params.train, params.seed),
        params.train,
        scratch=scratch,
        name="training steps",
    )
    loop.run(on_log=lambda row: None, on_validate=lambda step: watch())
    adapter.after_training()
    return watch.row("training step, latents and captions encoded in it", params.train.batch_size)


def _time_sampling(base: Base, adapter: Adapter, samples: Sequence[Sample], params: Params) -> dict[str, Any]:
    batch_size = params.sample.batch_size
    chosen = [samples[number % len(samples)] for number in range(batch_size)]
    prompts = {sample.key: sample.meta["captions"][0] for sample in chosen}
    conditions = {sample.key: sample.condition for sample in chosen if sample.condition is not None}
    requests = plan(prompts, SAMPLED_BATCHES, params.seed)
    watch = Stopwatch()
    pictures = generate(base, adapter, requests, conditions, params.sample, params.resolution_px)
    for number, _ in enumerate(pictures):
        if number % batch_size == 0:
            watch()
    return watch.row("sampling, adapter merged", batch_size)


def measure_finetuning() -> dict[str, Any]:
    """Return what a process of its own measures, so that torch's memory and settings are those of a stage.

    Raises:
        RuntimeError: it failed.
    """
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "finetuning.json"
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.finetuning", str(out)], stderr=subprocess.PIPE, text=True
        )
        if finished.returncode:
            raise RuntimeError(finished.stderr.strip().splitlines()[-1])
        result: dict[str, Any] = read_json(out)
    return result


def main(arguments: Sequence[str]) -> None:
    """Measure on this machine's GPU, or its processor, and write the result."""
    make_deterministic()
    write_json(Path(arguments[0]), measure(random_base(choose_device()), settings()))


if __name__ == "__main__":
    main(sys.argv[1:])
