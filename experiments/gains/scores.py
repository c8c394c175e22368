"""Read what the stage ``evaluate`` wrote, and pair the scores of arms by condition, seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from oft.datasets.reader import RENDERED_SOURCES
from oft.errors import DataError
from oft.evaluation.intervals import Figure, Picture, constant, pair_models
from oft.evaluation.metric import REAL, RECONSTRUCTION, SUBJECT, Metric
from oft.evaluation.registry import find_metric, headline_metrics
from oft.storage import read_json

FILES = ("metrics.json", "plots/per_image.json", "plots/class_pixels.json")
"""What is read of runs/<task>/<adapter>."""

REFERENCE_ARMS = {RECONSTRUCTION: "VAE reconstruction", REAL: "real pictures"}
"""The arms beside the adapters, by the suffix of their metrics; no adapter can have such a name."""
PROMPT_FIT = "prompt_similarity"

Rows = Sequence[Mapping[str, Any]]
OfPictures = Mapping[Picture, Any]
"""A score, or pixels by class id, of each picture."""


@dataclass(frozen=True)
class Measured:
    """One adapter on one task in one run.

    Attributes:
        metrics: of all its pictures.
        pictures: a row with key, index and scores for each generated picture, those of its target beside.
        class_pixels: a row for each with the pixels of its classes, those of its target beside; () where the
            task has no classes.
    """

    metrics: Mapping[str, Any]
    pictures: Rows
    class_pixels: Rows = ()


class PairedSeeds(NamedTuple):
    """The figures of every arm for each seed, and how many conditions they are over."""

    figures: list[dict[str, Figure]]
    num_conditions: list[int]


def read_measured(folder: Path) -> Measured:
    """Return what the stage ``evaluate`` wrote into ``folder``, runs/<task>/<adapter>.

    Raises:
        DataError: a file is not there.
    """
    files = [folder / name for name in FILES]
    if missing := [path for path in files if not path.is_file()]:
        raise DataError(f"{missing[0]} is missing; remove {folder} and run again")
    return Measured(*map(read_json, files))


def compared_metrics(condition: str, measured: Measured) -> list[Metric]:
    """Return the metrics a task is compared by: those that say whether it was learned, then prompt fit.

    A metric that neither each picture has nor pixels by class give (the Fréchet distance) cannot be resampled
    and is left out.
    """
    wanted = map(find_metric, dict.fromkeys((*headline_metrics(condition), PROMPT_FIT)))
    return [metric for metric in wanted if metric is not None and _of_pictures(measured, metric)]


def shares_conditions(condition: str, source: str) -> bool:
    """Return whether runs of other seeds are measured on the same conditions.

    The prompts of a subject are, and so is a data set that is read; only the miniature world renders others.

    Args:
        condition: the task's, `SUBJECT` for a subject.
        source: ``acquire.source`` of its data set.
    """
    return condition == SUBJECT or source not in RENDERED_SOURCES


def pair_seeds(
    metric: Metric, arms: Mapping[str, Sequence[Measured]], *, shared_conditions: bool = False
) -> PairedSeeds:
    """Return a metric of every arm for each seed, over the pictures that have it in all arms.

    Args:
        arms: for each adapter one `Measured` a seed; references that are known become arms of their own.
        shared_conditions: all seeds have the same conditions; those that one seed lacks a score of are left
            out of all.

    Raises:
        DataError: arms were measured on other conditions than others.
    """
    per_seed = [dict(zip(arms, found, strict=True)) for found in zip(*arms.values(), strict=True)]
    measured_on = [_common_keys(metric, found) for found in per_seed]
    if shared_conditions and any(keys != measured_on[0] for keys in measured_on):
        raise DataError(
            f"{metric.name}: the seeds should share their conditions and have others: "
            f"{_first_odd(measured_on)}; give the seeds the same data"
        )
    models = _in_all([_models_of_seed(metric, found) for found in per_seed])
    constants = _in_all([_constants_of_seed(metric, found) for found in per_seed])
    if shared_conditions:
        scored = [_keys(of_pictures) for found in models for of_pictures in found.values()]
        models = [_only(found, set.intersection(*scored)) for found in models]
    figures, num_conditions = [], []
    for of_pictures, values in zip(models, constants, strict=True):
        keys, found = pair_models(of_pictures, metric.pooled)
        # A reference that has a score for each picture is paired; one that is known as a number alone does
        # not vary with the conditions drawn.
        figures.append({name: constant(value) for name, value in values.items()} | found)
        num_conditions.append(len(keys))
    order = [*arms, *REFERENCE_ARMS.values()]
    ordered = [{name: found[name] for name in order if name in found} for found in figures]
    return PairedSeeds(ordered, num_conditions)


def _models_of_seed(metric: Metric, arms: Mapping[str, Measured]) -> dict[str, OfPictures]:
    """Return what every arm of one seed has for each picture; references' arms where pictures have theirs."""
    first = next(iter(arms.values()))
    found = {name: _of_pictures(one, metric) for name, one in arms.items()}
    references = {name: _of_pictures(first, metric, suffix) for suffix, name in REFERENCE_ARMS.items()}
    return found | {name: of_pictures for name, of_pictures in references.items() if of_pictures}


def _constants_of_seed(metric: Metric, arms: Mapping[str, Measured]) -> dict[str, float]:
    """Return the metric of all of a reference's pictures, by the name of its arm."""
    metrics = next(iter(arms.values())).metrics
    values = {name: metrics.get(f"{metric.name}{suffix}") for suffix, name in REFERENCE_ARMS.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def _of_pictures(measured: Measured, metric: Metric, suffix: str = "") -> OfPictures:
    """Return a score, or pixels by class id, of each picture that has it; under a suffix its target's."""
    if metric.pooled is not None:
        part = metric.pixels_of(suffix)
        return {
            (row["key"], row["index"]): {int(index): counts for index, counts in row[part].items()}
            for row in measured.class_pixels
            if part in row
        }
    name = f"{metric.name}{suffix}"
    return {(row["key"], row["index"]): row[name] for row in measured.pictures if row.get(name) is not None}


def _in_all(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mappings with the names that all of them have."""
    return [{name: one[name] for name in one if all(name in other for other in found)} for one in found]


def _only(models: Mapping[str, OfPictures], keys: set[str]) -> dict[str, OfPictures]:
    return {
        name: {picture: value for picture, value in of_pictures.items() if picture[0] in keys}
        for name, of_pictures in models.items()
    }


def _keys(pictures: Iterable[Picture]) -> set[str]:
    return {key for key, _ in pictures}


def _common_keys(metric: Metric, arms: Mapping[str, Measured]) -> set[str]:
    """Return the conditions that one seed was measured on, whether their pictures have the score or not."""
    keys = [{row["key"] for row in one.pictures} for one in arms.values()]
    if any(found != keys[0] for found in keys):
        raise DataError(
            f"{metric.name}: {', '.join(arms)} must be measured on the same conditions and are not: "
            f"{_first_odd(keys)}; run those that are older again"
        )
    return keys[0]


def _first_odd(keys: Sequence[set[str]]) -> str:
    first, *others = keys
    odd = sorted(first.union(*others) - first.intersection(*others))
    return f"{odd[0]} is only in some" if odd else "none"
