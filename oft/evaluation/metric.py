"""What a metric declares of itself where it is computed: its words, its direction, what it needs.

The report's glossary, the names that ``gate.metrics`` may have and docs/metrics.md are made of these
declarations (`oft.evaluation.registry`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from oft.evaluation.measure import Measurements
    from oft.evaluation.task import EvaluatedTask

Direction = Literal["higher", "lower", "neither"]
Group = Literal["score", "adapter", "protocol", "other"]

SUBJECT = "subject"
"""What stands for the condition of a task that learns one thing from a few pictures of it."""


@dataclass(frozen=True)
class Metric:
    """One key of ``metrics.json``.

    Attributes:
        name: the key.
        label: its name in tables.
        explanation: what the number says, for a reader who does not know it.
        direction: which is better.
        unit: of its values; '' where they are a count or no number.
        group: how well the pictures turned out, what the adapter is, or how it was measured.
        per_picture: whether each picture has one too, in ``per_image.json`` under the same name.
    """

    name: str
    label: str
    explanation: str = ""
    direction: Direction = "neither"
    unit: str = ""
    group: Group = "score"
    per_picture: bool = False


@dataclass(frozen=True)
class MetricFamily:
    """Metrics that are measured together, and the tasks they are measured on.

    Attributes:
        metrics: in the order of the tables.
        measure: adds the metrics of a task to what was measured.
        tasks: those with a condition, those that learn a subject, or any.
        conditions: the conditions it is for; () for every one.
        judges: folders of the networks it needs, below ``evaluate.judges``.
        headline: the metrics that say whether such a task was learned: the first, then what stands in for it.
    """

    metrics: tuple[Metric, ...]
    measure: Callable[[EvaluatedTask, Measurements], None]
    tasks: Literal["control", "subject", "any"] = "control"
    conditions: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()

    def is_for(self, condition: str) -> bool:
        """Return whether tasks with this condition (`SUBJECT` for a subject) are measured by the family."""
        kind = "subject" if condition == SUBJECT else "control"
        return self.tasks in (kind, "any") and (not self.conditions or condition in self.conditions)
