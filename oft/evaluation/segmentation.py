"""Semantic segmentation: a judge's label maps of generated pictures against the maps they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import CheckpointError, DataError
from oft.evaluation.checks import check_pictures, check_same_shape
from oft.evaluation.diagrams import confusion_rows
from oft.evaluation.measure import ClassCounts, Compared, Measurements, Pictures, score_accuracy
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8

    from oft.evaluation.features import Judge
    from oft.evaluation.task import EvaluatedTask
    from oft.settings.evaluation import Evaluation

CHUNK_PIXELS = 1 << 22
MAX_LABEL_ID = np.iinfo(np.uint8).max


def extract_label_maps(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int, *, offset: int = 0
) -> UInt8[np.ndarray, "n height width"]:
    """Return the judge's label map of each picture: logits upsampled bilinearly to the picture, then argmax.

    ``offset`` is added to every predicted class: a judge of ADE20K predicts 0-149 for the data set's ids
    1-150.

    Raises:
        CheckpointError: the judge has more classes than an 8-bit label map can hold.
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    import torch

    from oft.evaluation.preprocessing import prepare_batches

    check_pictures(pictures)
    num_labels = int(judge.model.config.num_labels)
    if offset < 0 or num_labels - 1 + offset > MAX_LABEL_ID:
        raise CheckpointError(
            f"label maps hold ids 0-{MAX_LABEL_ID}; a segmenter of {num_labels} classes at offset {offset} "
            f"needs {offset}-{num_labels - 1 + offset}; use a segmenter of the data set's own classes"
        )
    maps = []
    with torch.inference_mode():
        for batch in prepare_batches(pictures, judge.preprocessing, batch_size, judge.model.device):
            logits = judge.model(pixel_values=batch).logits
            logits = torch.nn.functional.interpolate(
                logits, size=pictures.shape[1:3], mode="bilinear", align_corners=False
            )
            maps.append((logits.argmax(dim=1) + offset).to(torch.uint8).cpu().numpy())
    return np.concatenate(maps)


def confusion_matrix(
    predicted: UInt8[np.ndarray, "*shape"],
    truth: UInt8[np.ndarray, "*shape"],
    num_classes: int,
    ignore_id: int | None = 0,
) -> Int64[np.ndarray, "c c"]:
    """Return pixel counts [C, C]: row = true id, column = predicted id; matrices of shards add up.

    Pixels whose truth is ``ignore_id`` are left out, whatever was predicted there; None leaves none out.

    Raises:
        DataError: shapes differ, or an id outside 0..C-1.
    """
    check_same_shape("predicted", predicted, "true label maps", truth)
    counts = np.zeros(num_classes * num_classes, dtype=np.int64)
    flat_predicted, flat_truth = predicted.reshape(-1), truth.reshape(-1)
    for start in range(0, flat_truth.size, CHUNK_PIXELS):
        rows = flat_truth[start : start + CHUNK_PIXELS].astype(np.int64)
        columns = flat_predicted[start : start + CHUNK_PIXELS].astype(np.int64)
        if ignore_id is not None:
            counted = rows != ignore_id
            rows, columns = rows[counted], columns[counted]
        for name, ids in (("true", rows), ("predicted", columns)):
            if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
                raise DataError(
                    f"{name} ids must lie in 0..{num_classes - 1}, found {ids.min()}..{ids.max()}; "
                    "check the label maps' id convention and the judge's offset"
                )
        counts += np.bincount(rows * num_classes + columns, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes)


def count_classes(
    predicted: UInt8[np.ndarray, "n height width"],
    truth: UInt8[np.ndarray, "n height width"],
    num_classes: int,
    ignore_id: int | None = 0,
) -> list[ClassCounts]:
    """Return the pixels of each class in each picture: diagonal and sums of its own ``confusion_matrix``."""
    counted = []
    for found, true in zip(predicted, truth, strict=True):
        confusion = confusion_matrix(found, true, num_classes, ignore_id)
        actual, given = confusion.sum(axis=1), confusion.sum(axis=0)
        classes = np.flatnonzero(actual + given)
        columns = (classes, np.diag(confusion)[classes], actual[classes], given[classes])
        counted.append(ClassCounts(*(column.tolist() for column in columns)))
    return counted


def compute_class_iou(confusion: Int64[np.ndarray, "c c"]) -> np.ndarray:
    """Return TP / (TP + FP + FN) of each class, float64 [C], NaN where the class is absent in the truth."""
    hits, actual, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    iou = np.full(len(confusion), np.nan)
    np.divide(hits, actual + predicted - hits, out=iou, where=actual > 0)
    return iou


def compute_segmentation(confusion: Int64[np.ndarray, "c c"]) -> dict[str, float]:
    """Return ``miou``, ``macc`` (mean recall) and ``aacc`` (pixel accuracy), each in 0..1.

    One confusion matrix over the whole data set (Long et al. 2015, section 5); classes absent in the truth
    are left out of the means, though pixels wrongly given to them count against the classes that are there.

    Raises:
        DataError: the matrix counts no pixel.
    """
    actual = confusion.sum(axis=1)
    if actual.sum() == 0:
        raise DataError(
            "the confusion matrix counts no pixel: every true id is the ignored one; check the label maps"
        )
    present = actual > 0
    hits = np.diag(confusion)
    return {
        "miou": float(compute_class_iou(confusion)[present].mean()),
        "macc": float((hits[present] / actual[present]).mean()),
        "aacc": float(hits.sum() / actual.sum()),
    }


def measure_segmentation(
    compared: Compared, labels: Pictures, judge: Judge, settings: Evaluation, measured: Measurements
) -> None:
    """Add mIoU, mAcc and aAcc of the judge's maps against ADE20K ids, and each picture's accuracy."""
    from oft.conditions.ade20k_classes import CLASS_NAMES, NUM_CLASSES

    for suffix, (pictures, sources) in compared.items():
        predicted = extract_label_maps(pictures, judge, settings.batch_size, offset=1)
        truth = labels[sources]
        confusion = confusion_matrix(predicted, truth, NUM_CLASSES + 1)
        measured.add(compute_segmentation(confusion), suffix)
        measured.class_counts[suffix] = count_classes(predicted, truth, NUM_CLASSES + 1)
        if not suffix:
            measured.confusion = confusion_rows(
                confusion,
                ["other", *(name.split(",")[0] for name in CLASS_NAMES)],
                settings.num_confusion_classes,
            )
            measured.scores["aacc"] = score_accuracy(predicted, truth, truth > 0)


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    measure_segmentation(
        task.compared, task.labels, task.judges.segmenter("segmenter"), task.settings, measured
    )


FAMILY = MetricFamily(
    metrics=(
        Metric(
            "miou",
            "Mean IoU",
            "A judge network labels every pixel of the generated pictures. For each class: where its labels "
            "and the given map agree, divided by where either has the class; then the mean over the classes. "
            "1 is perfect.",
            direction="higher",
            unit="share",
        ),
        Metric(
            "macc",
            "Mean class accuracy",
            "The share of each class's pixels that the judge finds again, averaged over the classes.",
            direction="higher",
            unit="share",
        ),
        Metric(
            "aacc",
            "Pixel accuracy",
            "The share of all pixels that the judge gives the class asked for.",
            direction="higher",
            unit="share",
            per_picture=True,
        ),
    ),
    measure=_measure,
    conditions=("segmentation",),
    judges=("segmenter",),
    headline=("miou", "aacc"),
)
