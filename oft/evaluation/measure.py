"""All metrics of one adapter on one task: judges and features first, arithmetic after, ceilings beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oft.conditions.ade20k_classes import CLASS_NAMES, NUM_CLASSES
from oft.evaluation.canny import compute_canny, score_edges
from oft.evaluation.densepose import compute_part_accuracy, part_confusion_matrix
from oft.evaluation.diagrams import confusion_rows
from oft.evaluation.distribution import compute_fid, compute_kid
from oft.evaluation.lpips import compute_diversity
from oft.evaluation.segmentation import compute_segmentation, confusion_matrix, extract_label_maps
from oft.evaluation.similarity import compute_pairwise_ceiling, score_pairwise, score_text_image

if TYPE_CHECKING:
    from oft.evaluation.features import Judge
    from oft.settings.evaluation import Evaluation

Pictures = NDArray[np.uint8]

PART_NAMES = (
    "background", "torso back", "torso front", "right hand", "left hand", "left foot", "right foot",
    "right thigh back", "left thigh back", "right thigh front", "left thigh front", "right shin back",
    "left shin back", "right shin front", "left shin front", "left upper arm in", "right upper arm in",
    "left upper arm out", "right upper arm out", "left forearm in", "right forearm in", "left forearm out",
    "right forearm out", "head right", "head left",
)  # fmt: skip


@dataclass(frozen=True)
class Generated:
    """Generated pictures and what each was made from.

    Attributes:
        pictures: uint8 [m, h, w, 3].
        sources: for each, the index of its real picture (tasks with a condition) or of its prompt (subjects).
        prompts: the prompt of each.
        requests: key and number of each: which sample (or prompt) it is of, and the how manieth.
    """

    pictures: Pictures
    sources: NDArray[np.int64]
    prompts: list[str]
    requests: list[tuple[str, int]]


@dataclass
class Measured:
    """Flat metrics, a score for each picture, and rows for plots."""

    metrics: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    confusion: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)

    def name_pictures(self, generated: Generated) -> None:
        """Say which picture each score belongs to."""
        self.requests = generated.requests

    def score_rows(self) -> list[dict[str, Any]]:
        """Return one row a picture; a score that does not exist is null."""
        return [
            {
                "key": key,
                "index": index,
                **{name: _round(scores[row]) for name, scores in self.scores.items()},
            }
            for row, (key, index) in enumerate(self.requests)
            if self.scores
        ]

    def rounded(self) -> dict[str, Any]:
        """Return the metrics with floats to eight significant digits, NaN as null."""
        return {
            name: _round(value) if isinstance(value, float) else value for name, value in self.metrics.items()
        }

    def add(self, metrics: Mapping[str, float], suffix: str = "") -> None:
        """Take in metrics under their names and a suffix."""
        self.metrics.update({f"{name}{suffix}": value for name, value in metrics.items()})

    def add_scores(self, name: str, scores: NDArray[np.float64]) -> None:
        """Take in a score for each picture, and their mean as the metric."""
        self.scores[name] = scores.tolist()
        self.metrics[name] = float(scores.mean())


# The pictures that a metric is taken on beside the generated ones: the real ones, whose score is the ceiling,
# and the real ones through the base's autoencoder, which is as near to them as the base can draw.
Compared = dict[str, tuple[Pictures, NDArray[np.int64]]]


def compared_pictures(generated: Generated, real: Pictures, reconstructed: Pictures) -> Compared:
    """Return pictures and their sources by the suffix of their metrics."""
    everyone = np.arange(len(real))
    return {
        "": (generated.pictures, generated.sources),
        "_ceiling": (real, everyone),
        "_reconstruction": (reconstructed, everyone),
    }


def measure_segmentation(
    compared: Compared, labels: Pictures, judge: Judge, settings: Evaluation, measured: Measured
) -> None:
    """Add mIoU, mAcc and aAcc of the judge's maps against ADE20K ids, and each picture's accuracy."""
    for suffix, (pictures, sources) in compared.items():
        predicted = extract_label_maps(pictures, judge, settings.batch_size, offset=1)
        truth = labels[sources]
        confusion = confusion_matrix(predicted, truth, NUM_CLASSES + 1)
        measured.add(compute_segmentation(confusion), suffix)
        if not suffix:
            measured.confusion = confusion_rows(
                confusion,
                ["other", *(name.split(",")[0] for name in CLASS_NAMES)],
                settings.num_confusion_classes,
            )
            measured.scores["aacc"] = _share_right(predicted, truth, truth > 0)


def measure_parts(
    compared: Compared, parts: Pictures, judge: Judge, settings: Evaluation, measured: Measured
) -> None:
    """Add the accuracy of body parts by the judge, and each picture's."""
    for suffix, (pictures, sources) in compared.items():
        predicted = extract_label_maps(pictures, judge, settings.batch_size)
        truth = parts[sources]
        confusion = part_confusion_matrix(predicted, truth)
        measured.add(compute_part_accuracy(confusion), suffix)
        if not suffix:
            measured.confusion = confusion_rows(confusion, list(PART_NAMES), settings.num_confusion_classes)
            measured.scores["part_accuracy"] = _share_right(predicted, truth, truth > 0)


def measure_edges(
    compared: Compared, edges: Callable[[Pictures], Pictures], real: Pictures, measured: Measured
) -> None:
    """Add IoU and F1 of the edges (reference protocol), and each picture's F1.

    Args:
        edges: the run's own extractor on a stack of pictures.
    """
    truth = edges(real)
    for suffix, (pictures, sources) in compared.items():
        found = edges(pictures)
        measured.add(compute_canny(truth[sources], found), suffix)
        if not suffix:
            measured.scores["canny_f1"] = [float(score) for score in score_edges(truth[sources], found)[1]]


def measure_distribution(
    generated: Pictures,
    real: Pictures,
    other_real: Pictures,
    extract: Callable[[Pictures], NDArray[np.float32]],
    settings: Evaluation,
    rng: np.random.Generator,
    measured: Measured,
) -> None:
    """Add FID and KID of generated and of other real pictures (the ceiling) against the real ones."""
    truth = extract(real)
    subset_size = min(settings.kid_subset_size, len(real), len(generated), len(other_real))
    for suffix, pictures in {"": generated, "_ceiling": other_real}.items():
        features = extract(pictures)
        kid = compute_kid(truth, features, subsets=settings.kid_subsets, subset_size=subset_size, rng=rng)
        measured.add(
            {"fid": compute_fid(truth, features), "kid": kid["kid_mean"], "kid_std": kid["kid_std"]}, suffix
        )
    measured.metrics["num_ceiling_images"] = len(other_real)


def measure_text(
    generated: Generated,
    prompts: Sequence[str],
    images: Callable[[Pictures], NDArray[np.float32]],
    texts: Callable[[Sequence[str]], NDArray[np.float32]],
    measured: Measured,
    real: tuple[Pictures, Sequence[str]] | None = None,
) -> None:
    """Add CLIP-T: the mean cosine of each picture and its prompt, and of real pictures and their captions.

    Each generated picture's own is its score.
    """
    measured.add_scores("clip_t", score_text_image(texts(prompts), images(generated.pictures)))
    if real is not None:
        measured.add({"clip_t": float(score_text_image(texts(real[1]), images(real[0])).mean())}, "_ceiling")


def measure_subject(
    generated: Generated,
    real: Pictures,
    images: Callable[[Pictures], NDArray[np.float32]],
    features: Callable[[Pictures], NDArray[np.float32]],
    pyramid: Callable[[Pictures], list[NDArray[np.float32]]],
    measured: Measured,
) -> None:
    """Add CLIP-I, the DINO-like similarity and LPIPS diversity of a subject's generated pictures.

    The first two are mean pairwise cosines to the subject's real pictures, and scores of each picture.
    """
    for name, extract in {"clip_i": images, "dino": features}.items():
        truth = extract(real)
        measured.add_scores(name, score_pairwise(extract(generated.pictures), truth))
        measured.add({name: compute_pairwise_ceiling(truth)}, "_ceiling")
    if len(np.unique(generated.sources)) == len(generated.sources):
        return  # diversity is between pictures of one prompt, and there is one of each
    levels = pyramid(generated.pictures)
    by_prompt = {
        str(source): [level[generated.sources == source] for level in levels]
        for source in np.unique(generated.sources)
    }
    measured.add({"lpips_diversity": compute_diversity(by_prompt)["lpips_diversity"]})


def _share_right(predicted: Pictures, truth: Pictures, counted: NDArray[np.bool_]) -> list[float]:
    """Return for each picture the share of its counted pixels that are right; NaN where none counts."""
    right = ((predicted == truth) & counted).sum(axis=(1, 2))
    total = counted.sum(axis=(1, 2))
    return [float(r / t) if t else float("nan") for r, t in zip(right, total, strict=True)]


def _round(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.8g}")
