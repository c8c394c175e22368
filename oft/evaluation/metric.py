"""What a metric declares of itself where it is computed: its words, its direction, what it needs.

The report's glossary, the names that ``gate.metrics`` may have and docs/metrics.md are made of these
declarations (`oft.evaluation.registry`).

A key of ``metrics.json`` says what is computed, whoever judges. FID, CLIP score, DINO, LPIPS name a formula
together with one published network; a figure by any other network has no right to them. What a figure is
called where people read it, `Metric.title` says, and there its judge is part of the name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from oft.evaluation.measure import Measurements
    from oft.evaluation.task import EvaluatedTask
    from oft.settings.evaluation import Evaluation

Direction = Literal["higher", "lower", "neither"]
Group = Literal["score", "adapter", "protocol", "other"]
Kind = Literal["control", "subject", "style"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SUBJECT = "subject"
"""What stands for the condition of a task that learns one thing from a few pictures of it."""

STYLE = "style"
"""What stands for the condition of a task that learns the manner of pictures from them and their captions."""

REAL = "_real"
"""``<metric>_real`` is the same metric on the real pictures."""

RECONSTRUCTION = "_reconstruction"
"""``<metric>_reconstruction`` is the same on the real pictures through the base's autoencoder: the ceiling,
since every generated picture comes through its decoder."""

REFERENCES = (REAL, RECONSTRUCTION)

BEFORE_MAGNITUDES = "_before_magnitudes"
"""``<metric>_before_magnitudes`` is the same on what the adapter drew before magnitudes were fitted."""

ADDED_BY_MAGNITUDES = "_added_by_magnitudes"
"""``<metric>_added_by_magnitudes`` is the mean over conditions of what fitting them adds to the score."""

BOUNDS = ("_low", "_high")
"""``<metric>_low`` and ``<metric>_high`` are the ends of its 95 % interval, where it has one in the file."""

BESIDE = (*REFERENCES, BEFORE_MAGNITUDES, ADDED_BY_MAGNITUDES, *BOUNDS)
"""What the names of figures that stand beside a metric end with."""

MINIATURE_JUDGES = "miniature"
"""The value of ``evaluate.judges`` that stands for the networks which ship with the repository."""

JUDGES = {
    "segmenter": "segmenter",
    "part_segmenter": "part segmenter",
    "landmarks": "landmark network",
    "depth": "depth network",
    "clip": "image-text model",
    "extractor": "extractor",
}
"""Folders below ``evaluate.judges``, and what the networks in them are called."""


@dataclass(frozen=True)
class Metric:
    """One key of ``metrics.json``.

    Attributes:
        name: the key.
        label: its name in tables, whoever judges.
        explanation: what the number says, for a reader who does not know it.
        direction: which is better.
        unit: of its values; '' where they are a count or no number.
        group: how well the pictures turned out, what the adapter is, or how it was measured.
        per_picture: whether each picture has one too, in ``per_image.json`` under the same name.
        judge: the network that it asks, one of `JUDGES`; '' for none.
        published: what the figure is called where the published network judges; '' for no name of its own.
        pooled: the metric of pixels counted by class, ``class_pixels.json``, over any set of pictures.
        pixels: what the names of those counts begin with; '' for those of the reference protocol's judge.
    """

    name: str
    label: str
    explanation: str = ""
    direction: Direction = "neither"
    unit: str = ""
    group: Group = "score"
    per_picture: bool = False
    judge: str = ""
    published: str = ""
    pooled: Callable[[Float[np.ndarray, "*sets classes 3"]], Float[np.ndarray, "*sets"]] | None = None
    pixels: str = ""

    def pixels_of(self, suffix: str) -> str:
        """Return the key of each picture's counts in ``class_pixels.json``, under a suffix its source's."""
        return class_pixels_key(f"{self.pixels}{suffix}")

    def judged_by(self, judges: str) -> str:
        """Return the miniature network that gives this figure, '' where none or another does.

        Args:
            judges: the setting ``evaluate.judges``.
        """
        return f"miniature {JUDGES[self.judge]}" if self.judge and judges == MINIATURE_JUDGES else ""

    def title(self, judges: str) -> str:
        """Return the name under which a figure is shown: with the miniature judge, or the published name.

        Args:
            judges: the setting ``evaluate.judges``.
        """
        qualifier = self.judged_by(judges) or self.published
        return f"{self.label} ({qualifier})" if qualifier else self.label


@dataclass(frozen=True)
class MetricFamily:
    """Metrics that are measured together, and the tasks they are measured on.

    Attributes:
        metrics: in the order of the tables.
        measure: adds the metrics of a task to what was measured.
        tasks: the kinds it is for: those with a condition (control), that learn a subject, or a style.
        conditions: the conditions it is for; () for every one.
        headline: the metrics that say whether such a task was learned: the first, then what stands in for it.
        switch: whether the settings ask for it; None: always.
    """

    metrics: tuple[Metric, ...]
    measure: Callable[[EvaluatedTask, Measurements], None]
    tasks: tuple[Kind, ...] = ("control",)
    conditions: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    switch: Callable[[Evaluation], bool] | None = None

    def is_on(self, settings: Evaluation) -> bool:
        """Return whether the settings ask for the family."""
        return self.switch is None or self.switch(settings)

    @property
    def judges(self) -> list[str]:
        """The judges that its metrics ask, of `JUDGES`; where one is missing the family is not measured."""
        return sorted({metric.judge for metric in self.metrics if metric.judge})

    def is_for(self, condition: str) -> bool:
        """Return whether tasks with this condition (or `SUBJECT`, `STYLE`) are measured by the family."""
        return kind_of(condition) in self.tasks and (not self.conditions or condition in self.conditions)


def class_pixels_key(suffix: str) -> str:
    """Return the key in ``class_pixels.json`` of counts under a suffix, '' for the generated pictures'."""
    return suffix.removeprefix("_") or "generated"


def kind_of(condition: str) -> Kind:
    """Return the kind of a task from its condition, `SUBJECT` or `STYLE`."""
    kinds: dict[str, Kind] = {SUBJECT: "subject", STYLE: "style"}
    return kinds.get(condition, "control")
