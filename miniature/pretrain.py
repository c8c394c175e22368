"""Make the miniature base and its judges: render, train each network, measure, save.

Each network is kept as soon as it is trained (in ``scratch``), and its training's state now and then, so an
interrupted run goes on where it was. A network depends on the seed, its settings and the networks before it,
never on which run trained it. Networks that are there already can be kept and others made anew.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miniature import architecture, networks, quality, shape_judges
from miniature.model_card import write_model_card
from miniature.pool import Pool, render_mixture, render_pool
from miniature.training import FitSettings, fit
from miniature.world.vocabulary import world_words
from oft.errors import ParamsError
from oft.storage import atomic_folder, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

NUM_PARTS = 25
NUM_ADE_CLASSES = 150
# Pictures the networks never see are rendered from another seed.
HELD_OUT_SEED_OFFSET = 1000
# Networks that are trained one after the other; the chains side by side, the longest first.
CHAINS = (
    ("vae", "denoiser"),
    ("extractor", "segmenter", "part_segmenter", "clip", "landmarks", "depth"),
)
JUDGES = tuple(name for chain in CHAINS[1:] for name in chain)
# What is of use with one other network alone: a denoiser knows the latents of its autoencoder.
BUILT_ON = {"denoiser": "vae"}
# Where the parts of a network of the base lie in a finished folder, by their folder in the scratch.
PLACES = {
    "vae": {"": "base/vae"},
    "denoiser": {"unet": "base/unet", "text_encoder": "base/text_encoder"},
}
# Pictures that the spread of the latents is measured on.
NUM_MEASURED = 2048
# How many threads add up a sum decides how it is rounded, so each network has a fixed number.
THREADS = {"vae": 2}


@dataclass(frozen=True)
class PretrainSettings:
    """Pictures in the pool, and how each network of ``CHAINS`` is trained, round after round.

    A round goes on from the averaged weights of the one before, in half precision as they are kept, on a pool
    and draws of its own: those of the seed plus the round's number.
    """

    pool_images: int
    networks: Mapping[str, Sequence[FitSettings]]

    @property
    def num_rounds(self) -> int:
        return max(map(len, self.networks.values()))


def pretrain(folder: Path, scratch: Path, settings: PretrainSettings, seed: int) -> dict[str, float]:
    """Write base and judges to ``folder`` and return the quality they reach.

    ``folder`` gets ``base/`` (diffusers layout), ``judges/<name>``, ``training_log.json``, ``quality.json``,
    ``hashes.json`` (SHA-256 of every weight file) and ``README.md``, the model card.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    if missing := [chain for chain in CHAINS if not all((scratch / name).is_dir() for name in chain)]:
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as workers:
            runs = [workers.submit(train_chain, chain, scratch, settings, seed) for chain in missing]
            for run in as_completed(runs):
                run.result()

    tokenizer = architecture.build_tokenizer(world_words())
    with atomic_folder(folder) as partial:
        _assemble_base(partial / "base", scratch, tokenizer)
        for judge in JUDGES:
            shutil.copytree(
                scratch / judge, partial / "judges" / judge, ignore=shutil.ignore_patterns("log.json")
            )
            architecture.save_preprocessing(partial / "judges" / judge)
        tokenizer.save_pretrained(partial / "judges" / "clip")
        write_json(
            partial / "training_log.json",
            [row for chain in CHAINS for name in chain for row in read_json(scratch / name / "log.json")],
        )
        metrics = quality.measure(partial, seed + HELD_OUT_SEED_OFFSET)
        write_json(partial / "quality.json", metrics)
        weights = sorted(partial.rglob("*.safetensors"))
        write_json(
            partial / "hashes.json",
            {path.relative_to(partial).as_posix(): sha256_file(path) for path in weights},
        )
        write_model_card(partial)
    return metrics


def keep_networks(folder: Path, scratch: Path, remade: Sequence[str]) -> None:
    """Copy from a finished ``folder`` to ``scratch`` every network but those to be remade, with ``BUILT_ON``.

    Raises:
        ParamsError: there is no network of a name.
    """
    for name in remade:
        if name not in OBJECTIVES:
            raise ParamsError(f"{name}: no such network; there are {', '.join(OBJECTIVES)}")
    log = read_json(folder / "training_log.json")
    for name in OBJECTIVES:
        if name in remade or BUILT_ON.get(name) in remade or (scratch / name).is_dir():
            continue
        with atomic_folder(scratch / name) as partial:
            for part, place in PLACES.get(name, {"": f"judges/{name}"}).items():
                _copy_weights(folder / place, partial / part)
            write_json(partial / "log.json", [row for row in log if row["network"] == name])


def _copy_weights(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in (source / "config.json", *source.glob("*.safetensors")):
        shutil.copyfile(path, target / path.name)


def train_chain(chain: Sequence[str], scratch: Path, settings: PretrainSettings, seed: int) -> None:
    """Train networks that build on each other and keep each in ``scratch`` unless an earlier run has."""
    import torch

    from oft.models.device import make_deterministic

    make_deterministic()
    inputs = [Inputs(settings.pool_images, seed + number, scratch) for number in range(settings.num_rounds)]
    for name in chain:
        if (scratch / name).is_dir():
            continue
        torch.set_num_threads(THREADS.get(name, 1))
        rounds = settings.networks[name]
        kept = [scratch / f"{name}.{number}" for number in range(1, len(rounds))] + [scratch / name]
        for number, recipe in enumerate(rounds):
            if not kept[number].is_dir():
                _train_round(name, recipe, inputs[number], kept[number - 1] if number else None, kept[number])
        for before in kept[:-1]:
            shutil.rmtree(before)


def _train_round(name: str, recipe: FitSettings, inputs: Inputs, start: Path | None, kept: Path) -> None:
    """Train one network for one round, on from the weights in ``start`` if any, and keep it in ``kept``."""
    import torch

    # Networks initialise themselves from the global generator, which is left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(inputs.seed)
        objective = OBJECTIVES[name](inputs)
    earlier: list[dict[str, Any]] = []
    if start is not None:
        for part, module in objective.modules.items():
            network: Any = type(module)
            module.load_state_dict(network.from_pretrained(start / part).state_dict())
        earlier = read_json(start / "log.json")
    checkpoint = kept.with_name(f"{kept.name}.checkpoint")
    averaged, log = fit(
        name,
        list(objective.modules.values()),
        objective.compute_loss,
        objective.num_examples,
        recipe,
        inputs.seed,
        checkpoint,
    )
    if name == "vae":
        mixture = inputs.mixture
        networks.even_latents(averaged[0], mixture.images[:: max(1, len(mixture) // NUM_MEASURED)])
    steps_before = earlier[-1]["step"] if earlier else 0
    with atomic_folder(kept) as partial:
        for part, module in zip(objective.modules, averaged, strict=True):
            half: Any = module.half()
            half.save_pretrained(partial / part if part else partial)
        write_json(
            partial / "log.json", [*earlier, *({**row, "step": steps_before + row["step"]} for row in log)]
        )
    checkpoint.unlink(missing_ok=True)


@dataclass(frozen=True)
class Inputs:
    """What networks are trained from: pictures, rendered when they are first asked for, and other networks.

    Attributes:
        pool_images: pictures in the mixture of all kinds; there are a third as many more toys and figures.
        seed: what they are rendered from.
        scratch: holds the networks trained before.
    """

    pool_images: int
    seed: int
    scratch: Path

    @cached_property
    def mixture(self) -> Pool:
        return render_mixture(self.pool_images, self.seed)

    def part(self, *kinds: str) -> Pool:
        return render_mixture(self.pool_images, self.seed, kinds)

    @cached_property
    def toys(self) -> Pool:
        return self.more("toy")

    def more(self, kind: str) -> Pool:
        return render_pool(kind, self.pool_images // 3, self.seed)


def ade_targets(labels: np.ndarray) -> np.ndarray:
    """Return SegFormer targets from ADE20K ids: class k is id k + 1, and id 0 ("other") is ignored (255)."""
    return np.where(labels == 0, 255, labels - 1).astype(np.uint8)


def _load_vae(folder: Path) -> AutoencoderKL:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder).float().eval()


def _assemble_base(folder: Path, scratch: Path, tokenizer: Any) -> None:
    """Write the pipeline that ``StableDiffusionPipeline.from_pretrained`` loads."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(scratch / "vae", dtype=torch.float16),
        text_encoder=CLIPTextModel.from_pretrained(
            scratch / "denoiser" / "text_encoder", dtype=torch.float16
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel.from_pretrained(scratch / "denoiser" / "unet", dtype=torch.float16),
        scheduler=architecture.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    for path in folder.rglob("config.json"):
        # Where a part was loaded from is no property of it.
        write_json(path, {key: value for key, value in read_json(path).items() if key != "_name_or_path"})


def _denoiser(inputs: Inputs) -> networks.Objective:
    tokenizer = architecture.build_tokenizer(world_words())
    return networks.denoiser_objective(inputs.mixture, _load_vae(inputs.scratch / "vae"), tokenizer)


def _segmenter(inputs: Inputs) -> networks.Objective:
    pool = inputs.part("scene", "object")
    return networks.segmenter_objective(pool, ade_targets(pool.labels), NUM_ADE_CLASSES, mirror=True)


def _part_segmenter(inputs: Inputs) -> networks.Objective:
    figures = inputs.more("figure")
    return networks.segmenter_objective(figures, figures.labels, NUM_PARTS, mirror=False)


def _clip(inputs: Inputs) -> networks.Objective:
    tokenizer = architecture.build_tokenizer(world_words())
    return networks.clip_objective(inputs.mixture, inputs.toys, tokenizer)


OBJECTIVES: dict[str, Callable[[Inputs], networks.Objective]] = {
    "vae": lambda inputs: networks.vae_objective(inputs.mixture),
    "denoiser": _denoiser,
    "extractor": lambda inputs: networks.extractor_objective(inputs.mixture, inputs.toys),
    "segmenter": _segmenter,
    "part_segmenter": _part_segmenter,
    "clip": _clip,
    # Every kind but faces shows what is no face.
    "landmarks": lambda inputs: shape_judges.landmark_objective(inputs.more("face") + inputs.mixture),
    "depth": lambda inputs: shape_judges.depth_objective(inputs.part("scene", "object", "toy")),
}
