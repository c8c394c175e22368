"""A decision about a candidate: kept as decision.json in its commit, shown as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from flows.retrain.gate import ScoreComparison
from oft.evaluation.registry import with_judge

DECISION_FILE = "decision.json"
AGAINST_BASE = "the base alone"

Kind = Literal["promoted", "rejected", "rollback"]


@dataclass(frozen=True)
class Decision:
    """The decision about one candidate, or a rollback to an earlier one.

    Attributes:
        number: decisions are numbered from 1; ``tag`` carries the number.
        of: the promotion whose model this is: ``number`` itself, or the one a rollback returns to.
        reason: why, in one sentence.
        against: the tag of the promoted model it was judged against, or the base alone.
        revision: the commit whose code and settings it was trained with.
        sources: checksum of each watched source, by stage.
        level: confidence level of each interval.
        comparisons: one for each score.
        judges: the setting ``evaluate.judges``: whose figures the scores are.
        titles: what each task is called where people read it, by its name.
    """

    number: int
    kind: Kind
    of: int
    reason: str
    against: str
    revision: str
    sources: Mapping[str, str] = field(default_factory=dict)
    level: float | None = None
    comparisons: tuple[ScoreComparison, ...] = ()
    judges: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The name of its git tag, ``promoted/N`` or ``rejected/N``."""
        return f"{'rejected' if self.kind == 'rejected' else 'promoted'}/{self.number}"

    @property
    def title(self) -> str:
        """The decision in a few words."""
        if self.kind == "rollback":
            return f"{self.tag}: rolled back to promoted/{self.of}"
        return f"{self.tag}: {self.kind} against {self.against}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"comparisons": [row._asdict() for row in self.comparisons]}


def parse_decision(values: Mapping[str, Any]) -> Decision:
    """Return the decision that ``to_json`` made plain values of."""
    rows = tuple(ScoreComparison(**row) for row in values["comparisons"])
    return Decision(**{**values, "comparisons": rows})


def render_decision(decision: Decision) -> str:
    """Return a decision as markdown: what, why, and a table of the comparisons."""
    lines = [f"**{decision.title}**", "", f"{decision.reason[0].upper()}{decision.reason[1:]}."]
    if decision.comparisons:
        lines += ["", render_comparisons(decision, decision.comparisons)]
    return "\n".join(lines)


def render_comparisons(decision: Decision, comparisons: Sequence[ScoreComparison]) -> str:
    """Return comparisons of a decision as a markdown table, a score a line, with its miniature judge."""
    interval = f"{decision.level:.2%} interval" if decision.level is not None else "interval"
    lines = [
        f"| task | score | promoted | candidate | difference | {interval} | conditions | verdict |",
        "| --- | --- | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    lines += [_comparison_line(decision, row) for row in comparisons]
    return "\n".join(lines)


def _comparison_line(decision: Decision, row: ScoreComparison) -> str:
    task = decision.titles.get(row.task, row.task)
    return (
        f"| {task} | {with_judge(row.metric, decision.judges)} | {row.promoted:.4f} | {row.candidate:.4f} "
        f"| {row.difference:+.4f} | {row.low:+.4f} to {row.high:+.4f} | {_count(row)} | {row.verdict} |"
    )


def _count(row: ScoreComparison) -> str:
    left_out = f", {row.num_left_out} pictures left out" if row.num_left_out else ""
    return f"{row.num_conditions}{left_out}"
