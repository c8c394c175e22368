"""What an adapter changes unasked: pictures of prompts that have nothing to do with its task.

PEFT's image benchmark calls it drift. Each prompt is drawn twice from the same noise, by the base alone and
with the adapter on it, which sees no conditioning image; 0 means that the adapter left them as they were. The
base's own row says how far apart its pictures of one prompt lie from one noise to another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from oft.evaluation.intervals import bootstrap_interval, mean_of
from oft.evaluation.metric import Metric
from oft.evaluation.similarity import score_text_image
from oft.seeding import derive_seed

if TYPE_CHECKING:
    from jaxtyping import Float64

    from oft.adapters.protocol import Adapter
    from oft.evaluation.judges import Judges
    from oft.evaluation.measure import Pictures

METRICS = (
    Metric(
        "drift",
        "Drift on unrelated prompts",
        "How far pictures of prompts that have nothing to do with the task move when the adapter is on: "
        "1 − cosine of their features with and without it, from the same noise. 0 is not at all. In the "
        "base's column: from one noise to another.",
        direction="lower",
        group="adapter",
        judge="extractor",
    ),
    Metric(
        "drift_prompt_similarity",
        "Change of picture and prompt on unrelated prompts",
        "What the adapter adds to the similarity of those pictures and their prompts; below 0 the base has "
        "lost some of what it knew.",
        direction="higher",
        group="adapter",
        judge="clip",
    ),
)
"""Each has its 95 % interval over prompts beside it, as ``<name>_low`` and ``<name>_high``."""


class Draw(Protocol):
    """Draws a picture of each prompt, uint8 [n, h, w, 3], with an adapter or None, from either noise."""

    def __call__(self, adapter: Adapter | None, *, another_noise: bool = False) -> Pictures: ...


def measure_drift(
    prompts: Sequence[str], draw: Draw, judges: Judges, load: Callable[[], Adapter] | None, seed: int
) -> dict[str, Any]:
    """Return ``drift`` and ``drift_prompt_similarity``, each with the interval of its mean over prompts.

    What a missing judge would say is left out.

    Args:
        prompts: what ``draw`` draws.
        load: puts the adapter on the base; None compares the base with itself under another noise.
        seed: of the bootstrap.
    """
    missing = judges.missing(metric.judge for metric in METRICS)
    if len(missing) == len(METRICS):
        return {}
    before = draw(None)
    if load is None:
        after = draw(None, another_noise=True)
    else:
        adapter = load()
        with adapter.merging():
            after = draw(adapter)
        adapter.remove()
    rng = np.random.default_rng(derive_seed(seed, "drift"))
    found: dict[str, Any] = {}
    if "extractor" not in missing:
        cosines = score_text_image(judges.features(before), judges.features(after))
        moved = np.clip(np.round(1 - cosines, 12), 0, None)  # of equal pictures rounding alone is left
        found |= _with_interval("drift", moved, rng)
    if "clip" not in missing:
        texts = judges.clip_texts(list(prompts))
        told = [score_text_image(texts, judges.clip_images(pictures)) for pictures in (before, after)]
        found |= _with_interval("drift_prompt_similarity", told[1] - told[0], rng)
    return found


def _with_interval(
    name: str, values: Float64[np.ndarray, " n"], rng: np.random.Generator
) -> dict[str, float]:
    return bootstrap_interval(mean_of(values), len(values), rng).as_metrics(name)
