"""Claims as comparisons, and their verdicts: what an interval says, no more.

A comparison *holds* where its whole interval lies on the side that the claim wants, *does not hold* where it
lies on the other, and is *undecided* where it holds 0. A claim holds where all its comparisons do, does not
where one does not, and is undecided else; intervals of one claim hold at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from experiments.claims.findings import Claim, Contrast, Direction, Estimate, Verdict
from experiments.claims.numbers import decimals_of, format_estimate
from experiments.claims.statistics import Arm, Results, interval_over_seeds, simultaneous
from oft.evaluation.intervals import CONFIDENCE, Interval, SeedsFigure
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric
from oft.report.plan import describe_task

Side = Literal["above", "below"]

MAX_FIGURES = 3
"""Comparisons whose figures stand in a claim's answer; of more it counts the verdicts."""

_STARTS: dict[Verdict, str] = {"holds": "Yes", "does not hold": "No", "undecided": "Undecided"}
_TIMES = {1: "", 2: " twice"}
_TOLD: dict[Verdict, str] = {
    "holds": "say yes",
    "does not hold": "say the opposite",
    "undecided": "cannot be told from no difference",
}


@dataclass(frozen=True)
class Comparison:
    """One arm against another by a metric.

    Attributes:
        task: the task's name.
        arm, other: the two; the claim is about the first.
        metric: its key; '' takes the task's headline metric.
        other_suffix: the other side is this number of the run under ``<metric><suffix>``.
    """

    task: str
    arm: Arm
    other: Arm
    metric: str = ""
    other_suffix: str = ""


@dataclass(frozen=True)
class Statement:
    """A claim before it is put to the question; see `Claim` for the words.

    Attributes:
        comparisons: in each the first arm should be the better one.
    """

    name: str
    title: str
    question: str
    paper: str
    differs: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Measured:
    """A comparison that there are runs of: its difference over conditions and seeds, or over seeds alone."""

    comparison: Comparison
    metric: Metric
    difference: SeedsFigure | tuple[float, ...]
    num_conditions: int
    num_seeds: int


def judge(statement: Statement, results: Results, level: float = CONFIDENCE) -> Claim:
    """Return a claim with its verdict.

    What there are no runs of is left out; a claim without any comparison was not measured.
    """
    measured = [found for one in statement.comparisons if (found := measure(one, results)) is not None]
    intervals = _intervals(measured, level)
    contrasts = tuple(
        _contrast(one, interval, results) for one, interval in zip(measured, intervals, strict=True)
    )
    missing = len(statement.comparisons) - len(contrasts)
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
    )


def measure(comparison: Comparison, results: Results) -> Measured | None:
    """Return a comparison's difference, None where runs of either side or their scores are missing."""
    task, arms = comparison.task, [comparison.arm, comparison.other]
    metric = find_metric(comparison.metric) if comparison.metric else results.headline(task)
    seeds = results.seeds_of(task, arms)
    if metric is None or not seeds:
        return None
    if not comparison.other_suffix and (metric.per_picture or metric.pooled is not None):
        paired = results.paired(task, metric, arms)
        if paired is None:
            return None
        difference = paired.figures[arms[0]] - paired.figures[arms[1]]
        return Measured(comparison, metric, difference, paired.num_conditions, len(paired.seeds))
    names = (metric.name, f"{metric.name}{comparison.other_suffix}")
    sides = tuple(zip(arms, names, strict=True))
    pairs = [[results.number(task, arm, name, seed) for arm, name in sides] for seed in seeds]
    values = tuple(first - other for first, other in pairs if first is not None and other is not None)
    return Measured(comparison, metric, values, 0, len(values)) if values else None


def _intervals(measured: Sequence[Measured], level: float) -> list[Interval | None]:
    """Return intervals that hold at once; None for a number that one run alone has.

    Bands over conditions share their part of the error probability, the numbers of whole runs have Student's
    intervals at Bonferroni's level.
    """
    if not measured:
        return []
    each = (1 - level) / len(measured)
    figures = [one.difference for one in measured if isinstance(one.difference, SeedsFigure)]
    bands = iter(simultaneous(figures, 1 - each * len(figures)))
    return [
        next(bands)
        if isinstance(one.difference, SeedsFigure)
        else interval_over_seeds(one.difference, 1 - each)
        for one in measured
    ]


def _contrast(one: Measured, interval: Interval | None, results: Results) -> Contrast:
    expected = side_of(one.metric.direction)
    value = one.difference.value if isinstance(one.difference, SeedsFigure) else _mean(one.difference)
    task = one.comparison.task
    return Contrast(
        task=task,
        task_title=describe_task(task, results.params).short_title(task),
        metric=one.metric.name,
        metric_title=one.metric.title(results.params.evaluate.judges),
        label=_label(one.comparison, results),
        estimate=Estimate(value, *(interval[1:] if interval else ())),
        expected=expected,
        verdict=verdict_of(interval, expected),
        num_conditions=one.num_conditions,
        num_seeds=one.num_seeds,
    )


def _label(comparison: Comparison, results: Results) -> str:
    first, other = (describe_arm(arm, results) for arm in (comparison.arm, comparison.other))
    if comparison.other_suffix:
        return f"{first}: after − {comparison.other_suffix.replace('_', ' ').strip()}"
    return f"{first} − {other}"


def describe_arm(arm: Arm, results: Results) -> str:
    """Return an arm in words: the adapter's title, and its setting where it has one."""
    settings = results.params.adapters.get(arm.adapter)
    title = (settings.title if settings else None) or {"none": "Base alone"}.get(arm.adapter, arm.adapter)
    return f"{title} ({arm.setting})" if arm.setting else title


def side_of(direction: Direction) -> Side:
    """Return where the difference of the better one to the other lies."""
    return "below" if direction == "lower" else "above"


def stands_out(own: SeedsFigure, others: Sequence[SeedsFigure], direction: Direction) -> bool:
    """Return whether there are others and each is worse beyond the interval of its difference."""
    return (
        direction != "neither"
        and bool(others)
        and all(verdict_of((own - other).interval(), side_of(direction)) == "holds" for other in others)
    )


def verdict_of(interval: Interval | None, expected: Side) -> Verdict:
    """Return what one interval says of a difference that should lie on a side of 0."""
    if interval is None or not interval.excludes_zero:
        return "undecided"
    side: Side = "above" if interval.low > 0 else "below"
    return "holds" if side == expected else "does not hold"


def verdict_of_all(verdicts: Iterable[Verdict], num_missing: int = 0) -> Verdict:
    """Return the verdict of a claim from those of its comparisons.

    Args:
        num_missing: comparisons that nothing was measured of: with one a claim can fail, not hold.
    """
    found = set(verdicts)
    if not found:
        return "not measured"
    if "does not hold" in found:
        return "does not hold"
    return "holds" if found == {"holds"} and not num_missing else "undecided"


def word(verdict: Verdict, contrasts: Sequence[Contrast], num_missing: int = 0) -> str:
    """Return a verdict as a sentence with its figures; of many comparisons with how many say what."""
    if not contrasts:
        return "Not measured yet."
    missing = f" ({num_missing} more not measured yet)" if num_missing else ""
    start = _STARTS[verdict]
    if len(contrasts) <= MAX_FIGURES:
        decimals = decimals_of(contrasts)
        figures = "; ".join(_figure(one, decimals[one.metric]) for one in contrasts)
        return f"{start}: {figures}{missing}."
    several = len({one.metric for one in contrasts}) > 1
    told = []
    for kind, words in _TOLD.items():
        if those := [one for one in contrasts if one.verdict == kind]:
            verb = words.replace("say", "says") if len(those) == 1 else words
            told.append(f"{len(those)} {verb} ({_labels(those, by_metric=several)})")
    return f"{start}: of {len(contrasts)} comparisons {'; '.join(told)}{missing}."


def _labels(contrasts: Sequence[Contrast], *, by_metric: bool) -> str:
    """Return what was compared, each once, with how often: OFT − LoRA twice."""
    metrics = [f" by {one.metric_title.partition(' (')[0]}" if by_metric else "" for one in contrasts]
    counts = Counter(f"{one.label}{metric}" for one, metric in zip(contrasts, metrics, strict=True))
    return ", ".join(f"{label}{_TIMES.get(count, f' {count} times')}" for label, count in counts.items())


def _figure(contrast: Contrast, decimals: int) -> str:
    figure = format_estimate(contrast.estimate, decimals, signed=True)
    alone = ", one seed" if contrast.estimate.low is None else ""
    return f"{contrast.label} {figure}{alone} on “{contrast.task_title}” by {contrast.metric_title}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
