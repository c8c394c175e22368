"""What the miniature base and its judges reach on pictures they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miniature.pool import render_pool
from miniature.training import to_tensor

if TYPE_CHECKING:
    from oft.evaluation.features import Judge

NUM_HELD_OUT = 256
NUM_PROMPTS = 128
GUIDANCE_SCALE = 5.0
SAMPLING_STEPS = 25
SAMPLING_BATCH = 32
# The smallest share of a picture in which a class counts as found: what captions name covers more.
FOUND_SHARE = 0.01


def measure(folder: Path, seed: int) -> dict[str, float]:
    """Return reconstruction PSNR (dB), judges' mIoU, retrieval rates and the share of prompt classes found.

    ``folder`` is laid out as ``pretrain`` writes it; ``seed`` renders the held-out pictures.
    """
    import torch
    from diffusers import StableDiffusionPipeline

    from oft.evaluation.features import (
        extract_clip_images,
        extract_clip_texts,
        extract_features,
        load_clip,
        load_extractor,
        load_segmenter,
    )
    from oft.evaluation.segmentation import compute_segmentation, confusion_matrix, extract_label_maps

    scenes = render_pool("scene", NUM_HELD_OUT, seed)
    figures = render_pool("figure", NUM_HELD_OUT, seed)
    toys = render_pool("toy", NUM_HELD_OUT, seed)
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "base", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    reached: dict[str, float] = {}
    for name, pool in {
        "scene": scenes,
        "object": render_pool("object", NUM_HELD_OUT, seed),
        "figure": figures,
        "toy": toys,
    }.items():
        with torch.inference_mode():
            latents = pipeline.vae.encode(to_tensor(pool.images)).latent_dist.mean
            decoded = pipeline.vae.decode(latents).sample.clamp(-1, 1)
        squared = ((decoded - to_tensor(pool.images)) / 2).square().mean((1, 2, 3))
        reached[f"psnr_{name}_db"] = float((-10 * squared.log10()).mean())
    reached["psnr_db"] = float(np.mean([value for key, value in reached.items() if key.startswith("psnr_")]))

    segmenter = load_segmenter(folder / "judges" / "segmenter")
    predicted = extract_label_maps(scenes.images, segmenter, batch_size=64, offset=1)
    reached["segmenter_miou"] = compute_segmentation(confusion_matrix(predicted, scenes.labels, 151))["miou"]
    parts = load_segmenter(folder / "judges" / "part_segmenter")
    predicted = extract_label_maps(figures.images, parts, batch_size=64, offset=0)
    reached["part_segmenter_miou"] = compute_segmentation(confusion_matrix(predicted, figures.labels, 25))[
        "miou"
    ]

    clip = load_clip(folder / "judges" / "clip")
    text = extract_clip_texts([captions[0] for captions in scenes.captions], clip, batch_size=64)
    image = extract_clip_images(scenes.images, clip, batch_size=64)
    reached["clip_top5_of_256"] = _retrieval(text, image, 5)
    extractor = load_extractor(folder / "judges" / "extractor")
    features = extract_features(toys.images, extractor, batch_size=64)
    reached["extractor_same_toy_top1"] = _retrieval(features[0::4], features[1::4], 1)

    reached["classes_found_real"] = _found_share(scenes.images, scenes.names, segmenter)
    prompts = [captions[0] for captions in scenes.captions[:NUM_PROMPTS]]
    pictures = np.concatenate(
        [
            pipeline(
                prompts[start : start + SAMPLING_BATCH],
                num_inference_steps=SAMPLING_STEPS,
                guidance_scale=GUIDANCE_SCALE,
                generator=torch.Generator().manual_seed(start),
                output_type="np",
            ).images
            for start in range(0, len(prompts), SAMPLING_BATCH)
        ]
    )
    pictures = (pictures * 255).round().astype(np.uint8)
    reached["classes_found_generated"] = _found_share(pictures, scenes.names[:NUM_PROMPTS], segmenter)
    return {key: round(value, 4) for key, value in reached.items()}


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

    labels = extract_label_maps(pictures, segmenter, batch_size=64, offset=1)
    ids = {name.split(",")[0]: index + 1 for index, name in enumerate(CLASS_NAMES)}
    found = [
        float((picture == ids[name]).mean() >= FOUND_SHARE)
        for picture, wanted in zip(labels, names, strict=True)
        for name in wanted
        if name in ids
    ]
    return float(np.mean(found))
