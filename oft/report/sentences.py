"""What the figures of a task say, in sentences: nothing is better without an interval that shows it."""

from __future__ import annotations

from collections.abc import Sequence

from oft.evaluation.intervals import CONFIDENCE, Interval
from oft.evaluation.metric import REAL
from oft.evaluation.registry import find_metric
from oft.report.gains import Gain, MetricGains
from oft.report.results import RunResults
from oft.report.scores import format_share, format_value

MIN_CONDITIONS = 20
"""Below about so many conditions a bootstrap's intervals are narrower than they claim."""

_HINT = "the hint encoder alone"
_PART = "_parameters"
_ALL_PARTS = "trainable_parameters"


def describe_gains(gains: MetricGains, runs: Sequence[RunResults], judges: str) -> list[str]:
    """Return what a metric says of each adapter of a task, and how its intervals were made, as sentences.

    Args:
        runs: the task's, for their titles.
        judges: the setting ``evaluate.judges``.
    """
    of_hint = {run.adapter for run in runs if run.words.is_hint_alone}
    titles = {run.adapter: _HINT if run.adapter in of_hint else run.words.title for run in runs}
    hint = next((gain for name, gain in gains.by_adapter.items() if name in of_hint), None)
    others = {titles[name]: gain for name, gain in gains.by_adapter.items() if name not in of_hint}
    lines = [_state_protocol(gains, judges)]
    if not gains.improves(gains.distance):
        distance = format_difference(gains.distance)
        lines.append(
            f"{capitalised(_end_of(gains))} is not beyond the base alone ({distance}), so no share of a "
            "distance can be given."
        )
    for place, (title, gain) in enumerate(others.items()):
        lines.append(_compare_to_base(title, gain, hint if place == 0 else None, gains))
        if rest := _compare_to_hint(title, gain, gains):
            lines.append(rest)
    if hint is not None and not others:
        lines.append(_compare_to_base(_HINT, hint, None, gains))
    return lines


def describe_parameters(run: RunResults) -> str:
    """Return what was trained of each part of an adapter; '' where nothing is known of it."""
    total = run.number(_ALL_PARTS)
    if not total:
        return ""
    parts = []
    for key in run.metrics:
        count = run.number(key)
        if not key.endswith(_PART) or key == _ALL_PARTS or not count:
            continue
        metric = find_metric(key)
        name = metric.label if metric else key.removesuffix(_PART).replace("_", " ")
        name = name.removeprefix("Parameters of the ").lower()
        parts.append(f"{name} {format_value(int(count))} ({format_share(count / total)})")
    return f"{run.words.title}: {format_value(int(total))} trained parameters: {', '.join(parts)}."


def format_interval(interval: Interval) -> str:
    """Return a share with its interval, in per cent: 71 % [64, 78]."""
    low, high = (format_share(bound).removesuffix(" %") for bound in interval[1:])
    return f"{format_share(interval.value)} [{low}, {high}]"


def format_difference(interval: Interval) -> str:
    """Return a difference with its interval: +0.023 [−0.004, 0.055]."""
    value, low, high = (f"{bound:.3f}".replace("-", "−") for bound in interval)
    return f"{'' if interval.value < 0 else '+'}{value} [{low}, {high}]"


def _state_protocol(gains: MetricGains, judges: str) -> str:
    number, unit = gains.num_conditions, gains.unit
    how = "the pixels of each resample counted together" if gains.metric.pooled else "their mean"
    warning = f"; with {number} they are narrower than they claim" if number < MIN_CONDITIONS else ""
    return (
        f"{gains.metric.title(judges)} over {number} {unit} and one seed, {how}. In brackets: "
        f"{100 * CONFIDENCE:.0f} % intervals, paired, by a bootstrap over the {unit}{warning}."
    )


def _compare_to_base(title: str, gain: Gain, hint: Gain | None, gains: MetricGains) -> str:
    own = _state_gain(title, gain, gains)
    if hint is None:
        return f"{own}."
    if _closes(gain, gains) and _closes(hint, gains) and hint.closed is not None:
        return f"{own}; {_HINT} {format_interval(hint.closed)}."
    return f"{own}. {_state_gain(_HINT, hint, gains)}."


def _state_gain(title: str, gain: Gain, gains: MetricGains) -> str:
    if gain.closed is None or not gains.improves(gain.difference):
        return _state_difference(title, "the base alone", gain.difference, gains)
    closed = format_interval(gain.closed)
    return f"{capitalised(title)} closes {closed} of the distance from the base to {_end_of(gains)}"


def _compare_to_hint(title: str, gain: Gain, gains: MetricGains) -> str:
    if gain.over_hint is None:
        return ""
    if gain.closed_of_rest is None or not gains.improves(gain.over_hint):
        return f"{_state_difference(title, _HINT, gain.over_hint, gains)}."
    return f"Of what the hint encoder leaves, {title} closes {format_interval(gain.closed_of_rest)}."


def _state_difference(title: str, other: str, difference: Interval, gains: MetricGains) -> str:
    shown = format_difference(difference)
    if not difference.excludes_zero:
        return f"Between {title} and {other} no difference can be seen ({shown})"
    worth = "better" if gains.improves(difference) else "worse"
    return f"{capitalised(title)} is {worth} than {other} ({shown})"


def _closes(gain: Gain, gains: MetricGains) -> bool:
    return gain.closed is not None and gains.improves(gain.difference)


def _end_of(gains: MetricGains) -> str:
    if gains.reference == REAL:
        return "the likeness of the real pictures among themselves"
    return "what the autoencoder can show"


def capitalised(text: str) -> str:
    """Return a text whose first letter is a capital, the others as they are."""
    return text[:1].upper() + text[1:]
