"""Make the miniature base and its judges: render, train each network, measure, save.

Each network is kept as soon as it is trained (in ``scratch``), so an interrupted run goes on with the next
one. A network depends on the seed, its settings and the networks before it, never on which run trained it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miniature import architecture, networks, quality
from miniature.pool import Pool, render_mixture, render_pool
from miniature.training import FitSettings
from miniature.world.vocabulary import world_words
from oft.storage import atomic_folder, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

NUM_PARTS = 25
NUM_ADE_CLASSES = 150
# Pictures the networks never see are rendered from another seed.
HELD_OUT_SEED_OFFSET = 1000
# Networks that are trained one after the other; the chains side by side, the longest first.
CHAINS = (
    ("vae", "refined_vae", "denoiser", "refined_denoiser"),
    ("segmenter",),
    ("part_segmenter",),
    ("clip",),
    ("extractor",),
)


@dataclass(frozen=True)
class PretrainSettings:
    """Pool size in pictures and the settings of every network's training."""

    pool_images: int
    vae: FitSettings
    refined_vae: FitSettings
    denoiser: FitSettings
    refined_denoiser: FitSettings
    segmenter: FitSettings
    part_segmenter: FitSettings
    clip: FitSettings
    extractor: FitSettings


@dataclass(frozen=True)
class Pools:
    """The pictures every network learns from: the mixture of all kinds, and more figures and toys."""

    mixture: Pool
    figures: Pool
    toys: Pool


def pretrain(folder: Path, scratch: Path, settings: PretrainSettings, seed: int) -> dict[str, float]:
    """Write base and judges to ``folder`` and return the quality they reach.

    ``folder`` gets ``base/`` (diffusers layout), ``judges/{segmenter,part_segmenter,clip,extractor}``,
    ``training_log.json``, ``quality.json`` and ``hashes.json`` (SHA-256 of every weight file).
    """
    if missing := [chain for chain in CHAINS if not all((scratch / name).is_dir() for name in chain)]:
        pools = Pools(
            render_mixture(settings.pool_images, seed),
            render_pool("figure", settings.pool_images // 3, seed),
            render_pool("toy", settings.pool_images // 3, seed),
        )
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as workers:
            runs = [workers.submit(train_chain, chain, scratch, pools, settings, seed) for chain in missing]
            for run in as_completed(runs):
                run.result()

    tokenizer = architecture.build_tokenizer(world_words())
    with atomic_folder(folder) as partial:
        _assemble_base(partial / "base", scratch, tokenizer)
        for judge in ("segmenter", "part_segmenter", "clip", "extractor"):
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
    return metrics


def train_chain(
    chain: tuple[str, ...], scratch: Path, pools: Pools, settings: PretrainSettings, seed: int
) -> None:
    """Train networks that build on each other and keep each in ``scratch`` unless an earlier run has.

    Each has one thread: chains share the cores without waiting for each other.
    """
    import torch

    from oft.models.device import make_deterministic

    make_deterministic()
    for name in chain:
        if (scratch / name).is_dir():
            continue
        training = TrainingInputs(pools, getattr(settings, name), seed, scratch)
        # Networks initialise themselves from the global generator, which is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            modules, log = TRAIN_FUNCTIONS[name](training)
        with atomic_folder(scratch / name) as partial:
            for part, module in modules.items():
                module.half().save_pretrained(partial / part if part else partial)
            write_json(partial / "log.json", log)


def ade_targets(labels: np.ndarray) -> np.ndarray:
    """Return SegFormer targets from ADE20K ids: class k is id k + 1, and id 0 ("other") is ignored (255)."""
    return np.where(labels == 0, 255, labels - 1).astype(np.uint8)


def _select_kinds(pool: Pool, *kinds: str) -> Pool:
    """Return the part of a mixture made of some kinds."""
    from miniature.pool import MIXTURE

    order = list(MIXTURE)
    bounds = np.concatenate([[0], np.cumsum([round(len(pool) * MIXTURE[kind]) for kind in order])])
    chosen = np.concatenate([np.arange(bounds[order.index(k)], bounds[order.index(k) + 1]) for k in kinds])
    return Pool(
        pool.images[chosen],
        pool.labels[chosen],
        [pool.captions[index] for index in chosen],
        [pool.names[index] for index in chosen],
    )


def _load_vae(folder: Path) -> AutoencoderKL:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder).float().eval()


def _load_denoiser(folder: Path) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    return unet.float(), CLIPTextModel.from_pretrained(folder / "text_encoder").float()


def _assemble_base(folder: Path, scratch: Path, tokenizer: Any) -> None:
    """Write the pipeline that ``StableDiffusionPipeline.from_pretrained`` loads."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(scratch / "refined_vae", dtype=torch.float16),
        text_encoder=CLIPTextModel.from_pretrained(
            scratch / "refined_denoiser" / "text_encoder", dtype=torch.float16
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel.from_pretrained(scratch / "refined_denoiser" / "unet", dtype=torch.float16),
        scheduler=architecture.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    for path in folder.rglob("config.json"):
        # Where a part was loaded from is no property of it.
        write_json(path, {key: value for key, value in read_json(path).items() if key != "_name_or_path"})


@dataclass(frozen=True)
class TrainingInputs:
    """What a network is trained from: pictures, settings, the seed, and the networks trained before it."""

    pools: Pools
    settings: FitSettings
    seed: int
    scratch: Path


# A network's parts by their folder ("" if it is one), and its log.
Trained = tuple[dict[str, Any], networks.Log]


def _train_vae(training: TrainingInputs) -> Trained:
    vae, log = networks.fit_vae(training.pools.mixture, training.settings, training.seed)
    return {"": vae}, log


def _train_refined_vae(training: TrainingInputs) -> Trained:
    start = _load_vae(training.scratch / "vae")
    vae, log = networks.fit_vae(training.pools.mixture, training.settings, training.seed, start=start)
    return {"": vae}, log


def _train_denoiser(training: TrainingInputs) -> Trained:
    return _fit_denoiser(training, training.pools.mixture, start=None)


def _train_refined_denoiser(training: TrainingInputs) -> Trained:
    # Toys are few words and many looks: the refinement sees more of them.
    pool = training.pools.mixture + training.pools.toys
    return _fit_denoiser(training, pool, start=_load_denoiser(training.scratch / "denoiser"))


def _fit_denoiser(
    training: TrainingInputs, pool: Pool, *, start: tuple[UNet2DConditionModel, CLIPTextModel] | None
) -> Trained:
    tokenizer = architecture.build_tokenizer(world_words())
    # The refined autoencoder has the same encoder, so the latents are its own too.
    vae = _load_vae(training.scratch / "vae")
    (unet, text_encoder), log = networks.fit_denoiser(
        pool, vae, tokenizer, training.settings, training.seed, start=start
    )
    return {"unet": unet, "text_encoder": text_encoder}, log


def _train_segmenter(training: TrainingInputs) -> Trained:
    scenes = _select_kinds(training.pools.mixture, "scene", "object")
    segmenter, log = networks.fit_segmenter(
        scenes,
        ade_targets(scenes.labels),
        NUM_ADE_CLASSES,
        training.settings,
        training.seed,
        name="segmenter",
        mirror=True,
    )
    return {"": segmenter}, log


def _train_part_segmenter(training: TrainingInputs) -> Trained:
    figures = training.pools.figures
    segmenter, log = networks.fit_segmenter(
        figures,
        figures.labels,
        NUM_PARTS,
        training.settings,
        training.seed,
        name="part_segmenter",
        mirror=False,
    )
    return {"": segmenter}, log


def _train_clip(training: TrainingInputs) -> Trained:
    pools, tokenizer = training.pools, architecture.build_tokenizer(world_words())
    clip, log = networks.fit_clip(pools.mixture, pools.toys, tokenizer, training.settings, training.seed)
    return {"": clip}, log


def _train_extractor(training: TrainingInputs) -> Trained:
    pools = training.pools
    extractor, log = networks.fit_extractor(pools.mixture, pools.toys, training.settings, training.seed)
    return {"": extractor}, log


TRAIN_FUNCTIONS: dict[str, Callable[[TrainingInputs], Trained]] = {
    "vae": _train_vae,
    "refined_vae": _train_refined_vae,
    "denoiser": _train_denoiser,
    "refined_denoiser": _train_refined_denoiser,
    "segmenter": _train_segmenter,
    "part_segmenter": _train_part_segmenter,
    "clip": _train_clip,
    "extractor": _train_extractor,
}
