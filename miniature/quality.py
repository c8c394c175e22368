"""What the miniature base and its judges reach on pictures they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miniature.pool import render_pool
from miniature.training import to_tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    from miniature.pool import Pool
    from oft.evaluation.features import Judge

NUM_HELD_OUT = 256
NUM_PROMPTS = 128
GUIDANCE_SCALE = 5.0
SAMPLING_STEPS = 25
SAMPLING_BATCH = 32
JUDGING_BATCH = 64
# The smallest share of a picture in which a class counts as found: what captions name covers more.
FOUND_SHARE = 0.01


def measure(folder: Path, seed: int) -> dict[str, float]:
    """Return reconstruction PSNR (dB), judges' mIoU, retrieval rates and the share of prompt classes found.

    ``folder`` is laid out as ``pretrain`` writes it; ``seed`` renders the held-out pictures.
    """
    import torch
    from diffusers import StableDiffusionPipeline

    from oft.evaluation.features import load_segmenter

    pools = {kind: render_pool(kind, NUM_HELD_OUT, seed) for kind in ("scene", "object", "figure", "toy")}
    scenes = pools["scene"]
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "base", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    judges = folder / "judges"
    segmenter, parts = load_segmenter(judges / "segmenter"), load_segmenter(judges / "part_segmenter")
    psnr = {f"psnr_{kind}_db": _psnr_db(pipeline.vae, pool) for kind, pool in pools.items()}
    text, image = _clip_features(judges / "clip", scenes)
    features = _extractor_features(judges / "extractor", pools["toy"])
    pictures = _sample(pipeline, [captions[0] for captions in scenes.captions[:NUM_PROMPTS]])
    metrics = {
        **psnr,
        "psnr_db": float(np.mean(list(psnr.values()))),
        "segmenter_miou": _miou(segmenter, scenes, num_labels=151, offset=1),
        "part_segmenter_miou": _miou(parts, pools["figure"], num_labels=25, offset=0),
        "clip_top5_of_256": _retrieval(text, image, 5),
        "extractor_same_toy_top1": _retrieval(features[0::4], features[1::4], 1),
        "classes_found_real": _found_share(scenes.images, scenes.names, segmenter),
        "classes_found_generated": _found_share(pictures, scenes.names[:NUM_PROMPTS], segmenter),
    }
    return {key: round(value, 4) for key, value in metrics.items()}


def _psnr_db(vae: AutoencoderKL, pool: Pool) -> float:
    """Return the mean PSNR of the pool's pictures through the autoencoder, dB."""
    import torch

    pictures = to_tensor(pool.images)
    with torch.inference_mode():
        decoded = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
    squared = ((decoded - pictures) / 2).square().mean((1, 2, 3))
    return float((-10 * squared.log10()).mean())


def _miou(segmenter: Judge, pool: Pool, num_labels: int, offset: int) -> float:
    from oft.evaluation.segmentation import compute_segmentation, confusion_matrix, extract_label_maps

    predicted = extract_label_maps(pool.images, segmenter, batch_size=JUDGING_BATCH, offset=offset)
    return compute_segmentation(confusion_matrix(predicted, pool.labels, num_labels))["miou"]


def _clip_features(folder: Path, pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Return the features [n, d] of each picture's first caption, and of the picture."""
    from oft.evaluation.features import extract_clip_images, extract_clip_texts, load_clip

    clip = load_clip(folder)
    text = extract_clip_texts([captions[0] for captions in pool.captions], clip, batch_size=JUDGING_BATCH)
    return text, extract_clip_images(pool.images, clip, batch_size=JUDGING_BATCH)


def _extractor_features(folder: Path, pool: Pool) -> np.ndarray:
    from oft.evaluation.features import extract_features, load_extractor

    return extract_features(pool.images, load_extractor(folder), batch_size=JUDGING_BATCH)


def _sample(pipeline: StableDiffusionPipeline, prompts: list[str]) -> np.ndarray:
    """Return a picture of each prompt, uint8 [n, h, w, 3]."""
    import torch

    batches = [
        pipeline(
            prompts[start : start + SAMPLING_BATCH],
            num_inference_steps=SAMPLING_STEPS,
            guidance_scale=GUIDANCE_SCALE,
            generator=torch.Generator().manual_seed(start),
            output_type="np",
        ).images
        for start in range(0, len(prompts), SAMPLING_BATCH)
    ]
    return (np.concatenate(batches) * 255).round().astype(np.uint8)


def _retrieval(queries: np.ndarray, targets: np.ndarray, top: int) -> float:
    """Return the share of queries whose own target is among the ``top`` most similar."""
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    targets = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    similarity = queries @ targets.T
    own = np.diag(similarity)[:, None]
    return float(((similarity > own).sum(1) < top).mean())


def _found_share(pictures: np.ndarray, names: list[tuple[str, ...]], segmenter: Judge) -> float:
    """Return the share of named classes that the judge finds in their picture."""
    from oft.conditions.ade20k_classes import CLASS_NAMES
    from oft.evaluation.segmentation import extract_label_maps

    labels = extract_label_maps(pictures, segmenter, batch_size=JUDGING_BATCH, offset=1)
    ids = {name.split(",")[0]: index + 1 for index, name in enumerate(CLASS_NAMES)}
    found = [
        float((picture == ids[name]).mean() >= FOUND_SHARE)
        for picture, wanted in zip(labels, names, strict=True)
        for name in wanted
        if name in ids
    ]
    return float(np.mean(found))
