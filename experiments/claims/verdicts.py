"""Claims as comparisons, and their verdicts: what an interval says, no more.

A comparison *holds* where its whole interval lies on the side that the claim wants, *does not hold* where it
lies on the other, and is *undecided* where it contains 0, or is over fewer than `MIN_SEEDS` trainings. A
claim holds where all its comparisons do, does not hold where some do not and none does, holds in part where
there are both, and is undecided else.

Each interval has the error probability for itself: a claim that is false is false in one comparison at
least, whose interval would have to lie on the wrong side (intersection-union test, Berger 1982), and one that
is true is denied by a difference of the wrong sign alone. But of several comparisons of nothing some is
decided more often than that, so each says whether it is also decided with all of its claim holding at once
(Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from experiments.claims.findings import Claim, Contrast, Direction, Estimate, Verdict
from experiments.claims.numbers import decimals_of, format_estimate
from experiments.claims.statistics import Arm, Results, difference_of
from experiments.paired import MIN_SEEDS, MeanFigure
from oft.evaluation.intervals import CONFIDENCE, Interval
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric
from oft.report.plan import describe_task

Side = Literal["above", "below"]

MAX_FIGURES = 3
"""Comparisons whose figures stand in a claim's answer; of more it counts the verdicts."""

_STARTS: dict[Verdict, str] = {
    "holds": "Yes",
    "holds in part": "In part",
    "does not hold": "No",
    "undecided": "Undecided",
}
_TIMES = {1: "", 2: " twice"}
_TOLD = {
    "holds": ("says yes", "say yes"),
    "does not hold": ("says the opposite", "say the opposite"),
    "undecided": ("cannot be told from no difference", "cannot be told from no difference"),
    "too few seeds": (f"has fewer than {MIN_SEEDS} seeds", f"have fewer than {MIN_SEEDS} seeds"),
}
"""How many comparisons say what, in the singular and the plural."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another by a metric.

    Attributes:
        task: the task's name.
        arm, other: the two; the claim is about the first.
        metric: its key; '' takes the task's headline metric.
        other_suffix: the other side is this number of the run under ``<metric><suffix>``.
        ratio: compare numbers of whole runs, all above 0, by the logarithm of their ratio: for what spans
            orders of magnitude, and differs between trainings by a factor.
    """

    task: str
    arm: Arm
    other: Arm
    metric: str = ""
    other_suffix: str = ""
    ratio: bool = False


@dataclass(frozen=True)
class Statement:
    """A claim before it is tested; see `Claim` for the words.

    Attributes:
        comparisons: in each the first arm should be the better one.
    """

    name: str
    title: str
    question: str
    paper: str
    differs: str
    comparisons: tuple[Comparison, ...]
    in_paper: bool = True


@dataclass(frozen=True)
class Compared:
    """A comparison that there are runs of: its difference over conditions and seeds, or over seeds alone."""

    comparison: Comparison
    metric: Metric
    difference: MeanFigure


def judge(statement: Statement, results: Results, level: float = CONFIDENCE) -> Claim:
    """Return a claim with its verdict.

    What there are no runs of is left out; a claim without any comparison was not measured.
    """
    num_compared = len(statement.comparisons)
    compared = [found for one in statement.comparisons if (found := compare(one, results)) is not None]
    contrasts = tuple(_contrast(one, results, level, num_compared) for one in compared)
    missing = num_compared - len(contrasts)
    verdict = verdict_of_all([one.verdict for one in contrasts], missing)
    return Claim(
        name=statement.name,
        title=statement.title,
        question=statement.question,
        verdict=verdict,
        answer=word(verdict, contrasts, missing),
        paper=statement.paper,
        differs=statement.differs,
        contrasts=contrasts,
        in_paper=statement.in_paper,
    )


def compare(comparison: Comparison, results: Results) -> Compared | None:
    """Return a comparison's difference, None where runs of either side or their scores are missing."""
    task, arm, other = comparison.task, comparison.arm, comparison.other
    metric = find_metric(comparison.metric) if comparison.metric else results.headline(task)
    if metric is None:
        return None
    if comparison.ratio or comparison.other_suffix:
        pairs = results.pairs(task, arm, other, metric.name, f"{metric.name}{comparison.other_suffix}")
        difference = difference_of(pairs, ratio=comparison.ratio)
    else:
        difference = results.difference(task, metric, arm, other)
    return None if difference is None else Compared(comparison, metric, difference)


def _contrast(one: Compared, results: Results, level: float, num_compared: int) -> Contrast:
    task = one.comparison.task
    of_ratio = ", log₁₀ of the ratio" if one.comparison.ratio else ""
    return Contrast(
        task=task,
        task_title=describe_task(task, results.params).short_title(task),
        metric=one.metric.name,
        metric_title=f"{one.metric.title(results.params.evaluate.judges)}{of_ratio}",
        label=_label(one.comparison, results),
        **judged(one.difference, side_of(one.metric.direction), level, num_compared)._asdict(),
    )


class Judged(NamedTuple):
    """What is concluded from a difference; see `Contrast`."""

    estimate: Estimate
    expected: Side
    verdict: Verdict
    stands_at_once: bool
    num_conditions: int
    num_seeds: int


def judged(difference: MeanFigure, expected: Side, level: float, num_compared: int) -> Judged:
    """Return what a difference says.

    Args:
        expected: where the claim wants it.
        num_compared: how many comparisons the claim rests on.
    """
    alone, at_once = difference.interval(level), difference.interval(level, num_compared)
    verdict = verdict_of(alone, expected, difference.num_seeds)
    estimate = Estimate(difference.value, *(alone[1:] if alone else ()))
    stands = verdict != "undecided" and at_once is not None and at_once.excludes_zero
    return Judged(estimate, expected, verdict, stands, difference.num_conditions, difference.num_seeds)


def _label(comparison: Comparison, results: Results) -> str:
    first, other = (describe_arm(arm, results) for arm in (comparison.arm, comparison.other))
    if comparison.other_suffix:
        return f"{first}: after − {comparison.other_suffix.replace('_', ' ').strip()}"
    return f"{first} {'/' if comparison.ratio else '−'} {other}"


def describe_arm(arm: Arm, results: Results) -> str:
    """Return an arm in words: the adapter's title, and its setting where it has one."""
    settings = results.params.adapters.get(arm.adapter)
    title = (settings.title if settings else None) or {"none": "Base alone"}.get(arm.adapter, arm.adapter)
    return f"{title} ({arm.setting})" if arm.setting else title


def side_of(direction: Direction) -> Side:
    """Return where the difference of the better one to the other lies."""
    return "below" if direction == "lower" else "above"


def stands_out(differences: Sequence[MeanFigure], direction: Direction) -> bool:
    """Return whether there are differences to others and each is to the good, beyond its interval."""
    return (
        direction != "neither"
        and bool(differences)
        and all(
            verdict_of(one.interval(), side_of(direction), one.num_seeds) == "holds" for one in differences
        )
    )


def verdict_of(interval: Interval | None, expected: Side, num_seeds: int) -> Verdict:
    """Return what one interval says of a difference that should lie on a side of 0."""
    if interval is None or num_seeds < MIN_SEEDS or not interval.excludes_zero:
        return "undecided"
    side: Side = "above" if interval.low > 0 else "below"
    return "holds" if side == expected else "does not hold"


def verdict_of_all(verdicts: Iterable[Verdict], num_missing: int = 0) -> Verdict:
    """Return the verdict of a claim from those of its comparisons.

    Args:
        num_missing: comparisons that nothing was measured of: with one a claim cannot hold.
    """
    found = set(verdicts)
    if not found:
        return "not measured"
    if "does not hold" in found:
        return "holds in part" if "holds" in found else "does not hold"
    return "holds" if found == {"holds"} and not num_missing else "undecided"


def word(verdict: Verdict, contrasts: Sequence[Contrast], num_missing: int = 0) -> str:
    """Return a verdict as a sentence with its figures; of many comparisons with how many say what."""
    if not contrasts:
        return "Not measured yet."
    missing = f" ({num_missing} more not measured yet)" if num_missing else ""
    start = _STARTS[verdict]
    most = max(one.num_seeds for one in contrasts)
    if most < MIN_SEEDS:
        start += f", as a verdict takes {MIN_SEEDS} seeds and there {'is' if most == 1 else 'are'} {most}"
    if len(contrasts) <= MAX_FIGURES:
        return f"{start}: {_figures(contrasts)}{missing}."
    if most < MIN_SEEDS:
        return f"{start} ({len(contrasts)} comparisons){missing}."
    several = len({one.metric for one in contrasts}) > 1
    told = []
    for kind, verbs in _TOLD.items():
        if those := [one for one in contrasts if _kind(one) == kind]:
            told.append(f"{len(those)} {verbs[len(those) > 1]} ({_labels(those, by_metric=several)})")
    return f"{start}: of {len(contrasts)} comparisons {'; '.join(told)}{missing}."


def _kind(contrast: Contrast) -> str:
    return "too few seeds" if contrast.num_seeds < MIN_SEEDS else contrast.verdict


def _labels(contrasts: Sequence[Contrast], *, by_metric: bool) -> str:
    """Return what was compared, each once, with how often: OFT − LoRA twice."""
    metrics = [f" by {one.metric_title.partition(' (')[0]}" if by_metric else "" for one in contrasts]
    counts = Counter(f"{one.label}{metric}" for one, metric in zip(contrasts, metrics, strict=True))
    return ", ".join(f"{label}{_TIMES.get(count, f' {count} times')}" for label, count in counts.items())


def _figures(contrasts: Sequence[Contrast]) -> str:
    """Return differences with their intervals, those of one task and metric together."""
    decimals = decimals_of(contrasts)
    told: dict[str, list[str]] = {}
    for one in contrasts:
        figure = format_estimate(one.estimate, decimals[one.metric], signed=True)
        told.setdefault(f"{one.task_title}: {one.metric_title}", []).append(f"{one.label} {figure}")
    return "; ".join(f"{', '.join(figures)} ({what})" for what, figures in told.items())
