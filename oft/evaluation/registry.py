"""Every metric there is: a new family is its own file and one entry here.

Importing this is cheap: what needs torch is imported where it is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oft.evaluation import (
    canny,
    circles,
    densepose,
    depth,
    distribution,
    diversity,
    drift,
    geometry,
    landmarks,
    protocol,
    segmentation,
    similarity,
    style,
)
from oft.evaluation.controlnetpp import canny as controlnetpp_canny
from oft.evaluation.controlnetpp import depth as controlnetpp_depth
from oft.evaluation.controlnetpp import hed as controlnetpp_hed
from oft.evaluation.controlnetpp import segmentation as controlnetpp_segmentation
from oft.evaluation.measure import Measurements
from oft.evaluation.metric import BESIDE, KINDS, Metric, MetricFamily

if TYPE_CHECKING:
    from oft.evaluation.task import EvaluatedTask

FAMILIES: tuple[MetricFamily, ...] = (
    segmentation.FAMILY,
    canny.FAMILY,
    densepose.FAMILY,
    landmarks.FAMILY,
    circles.FAMILY,
    depth.FAMILY,
    controlnetpp_segmentation.FAMILY,
    controlnetpp_canny.FAMILY,
    controlnetpp_hed.FAMILY,
    controlnetpp_depth.FAMILY,
    distribution.FAMILY,
    similarity.SUBJECT_FAMILY,
    similarity.SUBJECT_IMAGE_TEXT_FAMILY,
    style.FAMILY,
    diversity.FAMILY,
    similarity.TEXT_FAMILY,
)
"""What is measured on pictures, in the order of measuring."""

OTHER_METRICS: tuple[Metric, ...] = (*geometry.METRICS, *drift.METRICS, *protocol.METRICS)
"""What ``metrics.json`` says of the adapter and of the measuring."""


def all_metrics() -> dict[str, Metric]:
    """Return every metric by its name."""
    measured = (metric for family in FAMILIES for metric in family.metrics)
    return {metric.name: metric for metric in (*measured, *OTHER_METRICS)}


def find_metric(name: str) -> Metric | None:
    """Return a metric, None for an unknown name."""
    return all_metrics().get(name)


def judged_by(key: str, judges: str) -> str:
    """Return the miniature network that gives the figure under a key of ``metrics.json``, '' for none.

    Args:
        key: a metric's name, or that of it on real, reconstructed or unfitted pictures.
        judges: the setting ``evaluate.judges``.
    """
    for suffix in reversed(BESIDE):
        key = key.removesuffix(suffix)
    metric = find_metric(key)
    return metric.judged_by(judges) if metric else ""


def with_judge(key: str, judges: str) -> str:
    """Return a key of ``metrics.json`` as a table shows it: with the miniature network that gives its figure.

    Args:
        judges: the setting ``evaluate.judges``.
    """
    judge = judged_by(key, judges)
    return f"{key} ({judge})" if judge else key


def score_names() -> list[str]:
    """Return the names of the metrics that each picture has: what a gate can compare."""
    return [name for name, metric in all_metrics().items() if metric.per_picture]


def picture_metrics() -> list[str]:
    """Return the names of the metrics that say how well pictures turned out."""
    return [metric.name for family in FAMILIES for metric in family.metrics]


def headline_metrics(condition: str) -> tuple[str, ...]:
    """Return the metrics that say whether a task with this condition was learned, the first choice first."""
    return tuple(name for family in FAMILIES if family.is_for(condition) for name in family.headline)


def measure_task(task: EvaluatedTask) -> Measurements:
    """Return all metrics of the families that are for a task and whose judges are there.

    Which judges are not stands under ``missing_judges``.

    Raises:
        DataError: the task's shards lack what a family needs.
        CheckpointError: a judge is damaged.
    """
    measured = Measurements(requests=task.generated.requests)
    missing: set[str] = set()
    for family in FAMILIES:
        if not family.is_for(task.condition) or not family.is_on(task.settings):
            continue
        if absent := task.judges.missing(family.judges):
            missing.update(absent)
        else:
            family.measure(task, measured)
    if missing:
        measured.metrics["missing_judges"] = ", ".join(sorted(missing))
    measured.metrics |= task.counts
    return measured


def _tasks_in_words(family: MetricFamily) -> str:
    words = {"control": "every condition", "subject": "subjects", "style": "styles"}
    return "all" if family.tasks == KINDS else ", ".join(words[kind] for kind in family.tasks)


def markdown_table() -> str:
    """Return the table of docs/metrics.md: what is measured on pictures."""
    rows = [
        (
            f"`{metric.name}`",
            metric.label,
            metric.direction if metric.direction != "neither" else "",
            metric.unit,
            ", ".join(family.conditions) or _tasks_in_words(family),
            metric.judge,
            metric.published,
            "yes" if metric.per_picture else "",
        )
        for family in FAMILIES
        for metric in family.metrics
    ]
    head = ("name", "metric", "better", "unit", "tasks", "judge", "published name", "per picture")
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
