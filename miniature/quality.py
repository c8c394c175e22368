"""What the miniature base and its judges reach on pictures they never saw."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miniature.pool import render_pool
from miniature.training import to_tensor
from miniature.world.colours import NAMED
from miniature.world.objects import OBJECT_KINDS
from miniature.world.phrases import with_article

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
    """Return reconstruction PSNR (dB), judges' mIoU, retrieval rates and what judges find of prompts.

    ``folder`` is laid out as ``pretrain`` writes it; ``seed`` renders the held-out pictures. Of scenes it is
    the share of the classes named that the segmenter finds; of single things the share whose class, and
    colour, the image-text judge tells from all others, in rendered pictures and in the base's.
    """
    import torch
    from diffusers import StableDiffusionPipeline

    from oft.evaluation.features import load_clip, load_segmenter

    pools = {
        kind: render_pool(kind, NUM_HELD_OUT, seed) for kind in ("scene", "object", "figure", "toy", "face")
    }
    scenes = pools["scene"]
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "base", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    judges = folder / "judges"
    segmenter, parts = load_segmenter(judges / "segmenter"), load_segmenter(judges / "part_segmenter")
    psnr = {f"psnr_{kind}_db": _psnr_db(pipeline.vae, pool) for kind, pool in pools.items()}
    clip = load_clip(judges / "clip")
    text, image = _clip_features(clip, scenes)
    features = _extractor_features(judges / "extractor", pools["toy"])
    pictures = sample_prompts(pipeline, [captions[0] for captions in scenes.captions[:NUM_PROMPTS]])
    single = single_things(pools["object"])
    drawn = sample_prompts(pipeline, [thing.caption for thing in single])
    rendered = pools["object"].images[[thing.index for thing in single]]
    metrics = {
        **psnr,
        "psnr_db": float(np.mean(list(psnr.values()))),
        "segmenter_miou": _miou(segmenter, scenes, num_labels=151, offset=1),
        "part_segmenter_miou": _miou(parts, pools["figure"], num_labels=25, offset=0),
        "clip_top5_of_256": _retrieval(text, image, 5),
        "extractor_same_toy_top1": _retrieval(features[0::4], features[1::4], 1),
        "classes_found_real": _found_share(scenes.images, scenes.names, segmenter),
        "classes_found_generated": _found_share(pictures, scenes.names[:NUM_PROMPTS], segmenter),
        "things_told_real": _told_share(rendered, single, thing_rivals, clip),
        "things_told_generated": _told_share(drawn, single, thing_rivals, clip),
        "colours_told_real": _told_share(rendered, single, colour_rivals, clip),
        "colours_told_generated": _told_share(drawn, single, colour_rivals, clip),
    }
    return {key: round(value, 4) for key, value in metrics.items()}


@dataclass(frozen=True)
class SingleThing:
    """A caption of one thing, in its parts: 'a' colour kind phrase; ``index`` is that of its picture."""

    index: int
    caption: str
    colour: str
    kind: str
    phrase: str


def single_things(pool: Pool) -> list[SingleThing]:
    """Return the captions of pictures with one thing in them."""
    kinds = "|".join(sorted(OBJECT_KINDS, key=len, reverse=True))
    form = re.compile(rf"an? (?:({'|'.join(NAMED)}) )?({kinds}) ((?:on|in|under|with) .*)")
    found = []
    for index, captions in enumerate(pool.captions):
        if match := form.fullmatch(captions[0]):
            found.append(SingleThing(index, captions[0], match[1] or "", match[2], match[3]))
    return found


def thing_rivals(thing: SingleThing) -> list[str]:
    """Return the caption without its colour, and those that name each other kind of thing instead."""
    others = [kind for kind in OBJECT_KINDS if kind != thing.kind]
    return [f"{with_article(kind)} {thing.phrase}" for kind in (thing.kind, *others)]


def colour_rivals(thing: SingleThing) -> list[str]:
    """Return the caption, and those with each other colour of its kind; nothing for what has no colour."""
    if not thing.colour:
        return []
    others = [colour for colour in OBJECT_KINDS[thing.kind].colours if colour != thing.colour]
    return [f"{with_article(f'{colour} {thing.kind}')} {thing.phrase}" for colour in (thing.colour, *others)]


def _told_share(
    pictures: np.ndarray, things: list[SingleThing], rivals: Callable[[SingleThing], list[str]], clip: Judge
) -> float:
    """Return the share of pictures that the judge finds nearer to the first of its rivals than to others."""
    from oft.evaluation.features import extract_clip_images, extract_clip_texts

    images = extract_clip_images(pictures, clip, batch_size=JUDGING_BATCH)
    told = []
    for image, thing in zip(images, things, strict=True):
        if captions := rivals(thing):
            texts = extract_clip_texts(captions, clip, batch_size=JUDGING_BATCH)
            scores = texts @ image / np.linalg.norm(texts, axis=1)
            told.append(float(scores.argmax() == 0))
    return float(np.mean(told))


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


def _clip_features(clip: Judge, pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Return the features [n, d] of each picture's first caption, and of the picture."""
    from oft.evaluation.features import extract_clip_images, extract_clip_texts

    text = extract_clip_texts([captions[0] for captions in pool.captions], clip, batch_size=JUDGING_BATCH)
    return text, extract_clip_images(pool.images, clip, batch_size=JUDGING_BATCH)


def _extractor_features(folder: Path, pool: Pool) -> np.ndarray:
    from oft.evaluation.features import extract_features, load_extractor

    return extract_features(pool.images, load_extractor(folder), batch_size=JUDGING_BATCH)


def sample_prompts(pipeline: StableDiffusionPipeline, prompts: list[str]) -> np.ndarray:
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
