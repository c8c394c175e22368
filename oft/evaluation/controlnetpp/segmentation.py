"""ControlNet++'s mIoU: Mask2Former's label maps of generated pictures against those they were made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.errors import CheckpointError, DataError
from oft.evaluation.checks import check_pictures
from oft.evaluation.class_pixels import count_class_pixels, mean_iou_of_occurring
from oft.evaluation.controlnetpp import is_enabled
from oft.evaluation.measure import Compared, Measurements, Pictures, beside_generated
from oft.evaluation.metric import Metric, MetricFamily
from oft.evaluation.segmentation import confusion_matrix

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, UInt8

    from oft.evaluation.features import Judge
    from oft.evaluation.task import EvaluatedTask

NAME = "controlnetpp_miou"
PIXELS = "_controlnetpp"


def semantic_scores(output: Any, size: tuple[int, int]) -> Float[torch.Tensor, "n classes height width"]:
    """Return how much Mask2Former gives each pixel to each class.

    Each query's mask counts by the probability of each class but the last, which is "no object" (Cheng et al.
    2021, MaskFormer, section 3.4); masks are brought to the input's size before the sigmoid, as by the
    authors' and mmsegmentation's code. (transformers' processor takes 384 px, whatever the input.)

    Args:
        output: of transformers' Mask2FormerForUniversalSegmentation.
        size: (height, width) of its input.
    """
    import torch

    masks = torch.nn.functional.interpolate(
        output.masks_queries_logits, size=size, mode="bilinear", align_corners=False
    )
    classes = output.class_queries_logits.softmax(dim=-1)[..., :-1]
    return torch.einsum("nqc,nqhw->nchw", classes, masks.sigmoid())


def extract_ade20k_labels(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int
) -> UInt8[np.ndarray, "n height width"]:
    """Return Mask2Former's ADE20K id, 1 to 150, of each pixel.

    The network sees pictures as they are: the authors' configuration (mmlab/mmseg/mask2former_swin-l...py)
    tests at a shorter side of 512 px, the pictures' own, not at the 640 px of its name.

    Args:
        judge: from `oft.evaluation.features.load_mask2former`.

    Raises:
        CheckpointError: the judge has other classes than ADE20K's.
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    import torch

    from oft.conditions.ade20k_classes import NUM_CLASSES
    from oft.evaluation.preprocessing import prepare_batches

    check_pictures(pictures)
    if (num_labels := int(judge.model.config.num_labels)) != NUM_CLASSES:
        raise CheckpointError(
            f"evaluate.controlnetpp.segmenter: must have ADE20K's {NUM_CLASSES} classes, not {num_labels}; "
            "take facebook/mask2former-swin-large-ade-semantic"
        )
    preprocessing = replace(judge.preprocessing, resize_px=None, crop_px=None)
    maps = []
    with torch.inference_mode():
        for batch in prepare_batches(pictures, preprocessing, batch_size, judge.model.device):
            height, width = batch.shape[-2:]
            scores = semantic_scores(judge.model(pixel_values=batch), (height, width))
            maps.append((scores.argmax(dim=1) + 1).to(torch.uint8).cpu().numpy())
    return np.concatenate(maps)


def measure_labels(
    compared: Compared, labels: Pictures, judge: Judge, batch_size: int, measured: Measurements
) -> None:
    """Add the mIoU of Mask2Former's maps against ADE20K ids [n, h, w], and each picture's pixels by class.

    One confusion matrix over all pictures, id 0 ignored, as mmsegmentation's IoUMetric takes it over the
    authors' four groups of pictures.

    Raises:
        DataError: every true id is the ignored one.
    """
    from oft.conditions.ade20k_classes import NUM_CLASSES

    for suffix, (pictures, sources) in compared.items():
        predicted = extract_ade20k_labels(pictures, judge, batch_size)
        pixels = np.stack(
            [
                count_class_pixels(confusion_matrix(*maps, NUM_CLASSES + 1))
                for maps in zip(predicted, labels[sources], strict=True)
            ]
        )
        if not pixels.any():
            raise DataError("no pixel has a class: every true id is the ignored one; check the label maps")
        measured.add({NAME: float(mean_iou_of_occurring(pixels.sum(axis=0)))}, suffix)
        measured.class_pixels[f"{PIXELS}{suffix}"] = beside_generated(compared, suffix, list(pixels))


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    from oft.evaluation.features import load_mask2former

    setting = task.settings.controlnetpp.segmenter
    measured.metrics["controlnetpp_judge"] = setting
    judge = load_mask2former(setting, task.judges.device)
    measure_labels(task.compared, task.labels, judge, task.settings.batch_size, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            NAME,
            "Mean IoU (ControlNet++)",
            "A network (Mask2Former) labels every pixel of the generated pictures. For each class: where its "
            "labels and the given map agree, divided by where either has the class; then the mean over the "
            "classes that occur in either. 1 is perfect.",
            direction="higher",
            unit="share",
            pooled=mean_iou_of_occurring,
            pixels=PIXELS,
        ),
    ),
    measure=_measure,
    conditions=("segmentation",),
    switch=is_enabled,
)
