"""Evaluating a task: its real and generated pictures, the judges it needs, its metrics."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from oft.conditions.canny import extract_canny
from oft.errors import DataError
from oft.evaluation import measure
from oft.evaluation.features import (
    extract_clip_images,
    extract_clip_texts,
    extract_features,
    extract_pyramid,
    load_clip,
    load_extractor,
    load_segmenter,
)
from oft.evaluation.measure import Generated, Measured, Pictures
from oft.pictures import decode_square
from oft.shards.samples import read_samples
from oft.shards.shards import Sample, decode_labels, num_samples, read_shards
from oft.storage import read_json

if TYPE_CHECKING:
    from oft.conditions.registry import Conditions
    from oft.models.base import Base
    from oft.settings.evaluation import Evaluation

# The fewest pictures a distribution metric is taken over; below it is left out.
MIN_DISTRIBUTION_IMAGES = 32


def measure_control_task(
    base: Base,
    condition: str,
    condition_settings: Conditions,
    shards: Path,
    samples: Path,
    num_sample_shards: int,
    judges: Path,
    settings: Evaluation,
    rng: np.random.Generator,
    measured: Measured,
) -> None:
    """Add the metrics of a task with a condition: how well it is kept, FID and KID, CLIP-T.

    Args:
        shards: the task's shards; their ``val`` split is what was asked for.
        samples: folder of sample tars, ``num_sample_shards`` of them.
        judges: folder with segmenter/, part_segmenter/, clip/ and extractor/.

    Raises:
        DataError: the pictures are not those of the task's samples.
        CheckpointError: a judge is missing or damaged.
    """
    real_samples = list(read_shards(shards, "val"))
    generated = read_generated(samples, num_sample_shards, [sample.key for sample in real_samples])
    real = stack(real_samples, generated.pictures.shape[1])
    compared = measure.compared_pictures(generated, real, reconstruct(base, real, settings.batch_size))
    device = base.vae.device
    match condition:
        case "segmentation":
            judge = load_segmenter(judges / "segmenter", device)
            measure.measure_segmentation(compared, stack_labels(real_samples), judge, settings, measured)
        case "densepose":
            judge = load_segmenter(judges / "part_segmenter", device)
            measure.measure_parts(compared, stack_labels(real_samples), judge, settings, measured)
        case "canny":
            low, high = condition_settings.canny.low_threshold, condition_settings.canny.high_threshold
            measure.measure_edges(
                compared,
                lambda pictures: np.stack(
                    [extract_canny(picture, low, high)[..., 0] for picture in pictures]
                ),
                real,
                measured,
            )
    extractor = load_extractor(judges / "extractor", device)
    features = partial(extract_features, judge=extractor, batch_size=settings.batch_size)
    # The ceiling is the distance between two sets of real pictures.
    others = (
        stack(list(islice(read_shards(shards, "train"), len(real))), real.shape[1])
        if num_samples(shards, "train")
        else None
    )
    if others is not None and min(len(real), len(others), len(generated.pictures)) >= MIN_DISTRIBUTION_IMAGES:
        measure.measure_distribution(generated.pictures, real, others, features, settings, rng, measured)
    clip = load_clip(judges / "clip", device)
    measure.measure_text(
        generated,
        generated.prompts,
        partial(extract_clip_images, judge=clip, batch_size=settings.batch_size),
        partial(extract_clip_texts, judge=clip, batch_size=settings.batch_size),
        measured,
        real=(real, [sample.meta["captions"][0] for sample in real_samples]),
    )
    measured.name_pictures(generated)
    measured.metrics |= {"num_images": len(generated.pictures), "num_real_images": len(real)}


def measure_subject_task(
    base: Base,
    shards: Path,
    samples: Path,
    num_sample_shards: int,
    judges: Path,
    settings: Evaluation,
    measured: Measured,
) -> None:
    """Add the metrics of a subject: CLIP-I, DINO-like similarity, CLIP-T, LPIPS diversity (Ruiz et al. 2023).

    CLIP-T reads the prompts without the identifier, a token that means nothing to the judge.
    """
    described = read_json(shards / "prompts.json")
    keys = sorted(described["prompts"])
    generated = read_generated(samples, num_sample_shards, keys)
    real = stack(list(read_shards(shards, "train")), generated.pictures.shape[1])
    device = base.vae.device
    extractor, clip = load_extractor(judges / "extractor", device), load_clip(judges / "clip", device)
    images = partial(extract_clip_images, judge=clip, batch_size=settings.batch_size)
    measure.measure_subject(
        generated,
        real,
        images,
        partial(extract_features, judge=extractor, batch_size=settings.batch_size),
        partial(extract_pyramid, judge=extractor, batch_size=settings.batch_size),
        measured,
    )
    measure.measure_text(
        generated,
        [prompt.replace(f"{described['identifier']} ", "") for prompt in generated.prompts],
        images,
        partial(extract_clip_texts, judge=clip, batch_size=settings.batch_size),
        measured,
    )
    measured.name_pictures(generated)
    measured.metrics |= {
        "num_images": len(generated.pictures),
        "num_prompts": len(keys),
        "num_real_images": len(real),
    }


def stack(samples: list[Sample], side_px: int) -> Pictures:
    """Return the samples' pictures, uint8 [n, side, side, 3]; of those in buckets the centre squares."""
    return np.stack([decode_square(sample.image, side_px) for sample in samples])


def stack_labels(samples: list[Sample]) -> Pictures:
    """Return the samples' id maps, uint8 [n, h, w].

    Raises:
        DataError: one has none.
    """
    maps = [decode_labels(sample) for sample in samples]
    if missing := [sample.key for sample, labels in zip(samples, maps, strict=True) if labels is None]:
        raise DataError(f"sample {missing[0]} has no id map to measure against; make the shards again")
    return np.stack([labels.astype(np.uint8) for labels in maps if labels is not None])


def read_generated(samples: Path, num_shards: int, keys: list[str]) -> Generated:
    """Return the generated pictures of a task, each with the place of its source among ``keys``.

    Raises:
        DataError: a key has no picture, or a picture has a key that was not asked for.
    """
    rows = list(read_samples(samples, num_shards))
    place = {key: index for index, key in enumerate(keys)}
    found = {request.key for request, _ in rows}
    if found != set(keys):
        odd = sorted(found ^ set(keys))[0]
        raise DataError(
            f"{samples}: {odd} is only among the samples or only among the shards; run `dvc repro` again"
        )
    return Generated(
        np.stack([picture for _, picture in rows]),
        np.array([place[request.key] for request, _ in rows]),
        [request.prompt for request, _ in rows],
        [(request.key, request.index) for request, _ in rows],
    )


@torch.inference_mode()
def reconstruct(base: Base, pictures: Pictures, batch_size: int) -> Pictures:
    """Return pictures after the base's autoencoder: as near to them as it can draw."""
    decoded = []
    for start in range(0, len(pictures), batch_size):
        batch = torch.from_numpy(pictures[start : start + batch_size]).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = base.vae.encode(batch.to(base.vae.device)).latent_dist.mean
        images = (base.vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5
        decoded.append(images.permute(0, 2, 3, 1).round().to(torch.uint8).cpu().numpy())
    return np.concatenate(decoded)
