"""Validation grids: what the adapter draws for a few samples while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from oft.pictures import decode_rgb, decode_square, encode_png
from oft.sampling import generate, plan
from oft.shards.loader import ShardReader
from oft.training.run import tile

if TYPE_CHECKING:
    from PIL import Image

    from oft.adapters.protocol import Adapter
    from oft.models.base import Base
    from oft.settings.evaluation import Sampling
    from oft.shards.store import ShardStore
    from oft.types import Split


def grid_drawer(
    base: Base,
    adapter: Adapter,
    store: ShardStore,
    subject_prompts: Mapping[str, str] | None,
    num_images: int,
    settings: Sampling,
    resolution_px: int,
    seed: int,
) -> Callable[[], Image.Image] | None:
    """Return a function that draws a grid with the weights as they stand, or None if no picture is asked for.

    Rows from above: condition (where there is one), target and generated for the first validation samples;
    for a subject its first pictures and what is generated for its first prompts.

    Args:
        store: shards of the task. Training pictures may have other proportions: their centre is shown.
        subject_prompts: of a subject, by key.
    """
    if not num_images:
        return None
    split: Split = "train" if subject_prompts is not None or not store.entries("val") else "val"
    reader = ShardReader(store, split)
    first = range(min(num_images, len(reader)))
    samples = sorted((reader.sample(number) for number in first), key=lambda sample: sample.key)
    conditions = None
    if subject_prompts is not None:
        prompts = dict(sorted(subject_prompts.items())[:num_images])
    else:
        prompts = {sample.key: sample.meta["captions"][0] for sample in samples}
        encoded = {
            sample.key: encode_png(decode_square(sample.condition, resolution_px, "nearest"))
            for sample in samples
            if sample.condition is not None
        }
        conditions = encoded or None  # A style has none.
    targets = [decode_square(sample.image, resolution_px) for sample in samples]
    requests = plan(prompts, 1, seed)
    # A batch of just these pictures: validation must not cost more than it shows.
    settings = settings.model_copy(update={"batch_size": len(requests)})

    def draw() -> Image.Image:
        training = base.unet.training
        base.unet.eval()
        with adapter.merging():
            pictures = generate(base, adapter, requests, conditions, settings, resolution_px)
            drawn = {request.key: picture for request, picture in pictures}
        base.unet.train(training)
        generated = [drawn[key] for key in sorted(drawn)]
        rows: list[list[np.ndarray]] = [targets, generated]
        if conditions is not None:
            rows.insert(0, [decode_rgb(conditions[sample.key]) for sample in samples])
        return tile(rows)

    return draw
