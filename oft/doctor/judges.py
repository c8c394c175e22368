"""Which judges are missing: a run ends without what they would say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.doctor.finding import Finding, Scope
from oft.evaluation.metric import MINIATURE_JUDGES
from oft.evaluation.registry import FAMILIES

if TYPE_CHECKING:
    from oft.params import Params


def check_judges(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield a warning for each judge that a task to be evaluated has metrics for and that has no folder."""
    source = params.evaluate.judges
    if source == MINIATURE_JUDGES or not scope.has("evaluate"):
        return
    tasks = dict.fromkeys([*params.trained_tasks, *params.base_tasks])
    missing: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        for family in FAMILIES:
            if family.is_for(params.condition_of(task)):
                for judge in family.judges:
                    if not (root / source / judge).is_dir() and task not in missing[judge]:
                        missing[judge].append(task)
    for judge, without in missing.items():
        if without:
            yield Finding(
                "warning",
                "evaluate.judges",
                f"{source} has no {judge}/, so {', '.join(without)} will have no scores by it; "
                "docs/sd15.md says which network it is",
            )
