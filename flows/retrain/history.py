"""Decisions made so far, as the tags of a clone have them: promotions, rejections, rollbacks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from flows.git import git, read_file
from flows.retrain.decision import DECISION_FILE, Decision, parse_decision

_TAG = re.compile(r"(promoted|rejected)/[1-9][0-9]*")


def read_history(root: Path) -> list[Decision]:
    """Return the decisions that the repository's tags carry, the oldest first; ignore other tags."""
    names = git(
        "for-each-ref", "--format=%(refname:strip=2)", "refs/tags/promoted", "refs/tags/rejected", root=root
    ).split()
    decisions = [decision for name in names if _TAG.fullmatch(name) and (decision := _read(root, name))]
    return sorted(decisions, key=lambda decision: decision.number)


def promoted_decision(history: Sequence[Decision]) -> Decision | None:
    """Return the decision that the promoted model comes from; None before the first promotion."""
    return next((decision for decision in reversed(history) if decision.kind != "rejected"), None)


def last_candidate(history: Sequence[Decision]) -> Decision | None:
    """Return the decision about the last candidate, which has the latest sources."""
    return next((decision for decision in reversed(history) if decision.kind != "rollback"), None)


def next_number(history: Sequence[Decision]) -> int:
    """Return the number of the next decision."""
    return max((decision.number for decision in history), default=0) + 1


def describe_history(history: Sequence[Decision]) -> str:
    """Return the decisions for people, the newest first: what, why, and the scores of each."""
    if not history:
        return "Nothing was decided yet."
    return "\n".join(line for decision in reversed(history) for line in _describe(decision, history))


def _describe(decision: Decision, history: Sequence[Decision]) -> list[str]:
    now = promoted_decision(history)
    mark = "  <- promoted now" if now is not None and now.number == decision.number else ""
    lines = [f"{decision.title} (revision {decision.revision[:10]}){mark}", f"  {decision.reason}"]
    lines += [
        f"  {row.metric} of {row.task}: {row.promoted:.4f} -> {row.candidate:.4f} "
        f"({row.low:+.4f} to {row.high:+.4f}): {row.verdict}"
        for row in decision.comparisons
    ]
    return lines


def _read(root: Path, tag: str) -> Decision | None:
    text = read_file(root, f"refs/tags/{tag}", DECISION_FILE)
    if text is None:
        return None
    try:
        decision = parse_decision(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return decision if decision.tag == tag else None
