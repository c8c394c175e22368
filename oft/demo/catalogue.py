"""The columns that the page offers: the base alone, and the adapters that a run has trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oft.errors import CheckpointError, ParamsError, UserError
from oft.generation.combining import takes_condition

if TYPE_CHECKING:
    from oft.params import Params

RUNS = Path("runs")
TRAINED = "magnitude"
"""The folder of a finished adapter, in runs/<task>/<adapter>."""

BASE_LABEL = "base alone"


@dataclass(frozen=True)
class Column:
    """The base alone, or one trained adapter on it.

    Attributes:
        label: its heading, ``<task> / <adapter>``.
        folder: the adapter's; None for the base alone.
        task: what it was trained on; None likewise.
        condition: the condition of its task in params.yaml, where it takes a conditioning image and the task
            is still there.
    """

    label: str
    folder: Path | None = None
    task: str | None = None
    takes_condition: bool = False
    condition: str | None = None


BASE_ALONE = Column(BASE_LABEL)


@dataclass(frozen=True)
class Catalogue:
    """What there is to choose from.

    Attributes:
        adapters: a column of each, in the order of tasks and adapters in params.yaml.
        damaged: what is said of folders that hold no adapter of a known kind.
    """

    adapters: Sequence[Column]
    damaged: Sequence[str] = ()

    def by_task(self) -> Mapping[str, list[Column]]:
        """Return the adapters of each task."""
        groups: dict[str, list[Column]] = {}
        for column in self.adapters:
            assert column.task is not None
            groups.setdefault(column.task, []).append(column)
        return groups

    def choose(self, labels: Sequence[str]) -> list[Column]:
        """Return the columns of these labels: the base first, adapters in the catalogue's order.

        Raises:
            ParamsError: there is none, or one is of no column.
        """
        known = {column.label: column for column in (BASE_ALONE, *self.adapters)}
        if unknown := [label for label in labels if label not in known]:
            raise ParamsError(f"columns: {', '.join(unknown)}: must be among {', '.join(known)}")
        if not labels:
            raise ParamsError("columns: there is nothing to draw with; choose the base alone or an adapter")
        return [column for label, column in known.items() if label in labels]


def find_adapters(params: Params, runs: Path = RUNS) -> Catalogue:
    """Return the finished adapters under ``runs``; those of tasks and names in no setting come last."""
    tasks, names = list(params.all_tasks), list(params.adapters)

    def rank(folder: Path) -> tuple[int, str, int, str]:
        task, name = folder.parts[-3:-1]
        return (
            tasks.index(task) if task in tasks else len(tasks),
            task,
            names.index(name) if name in names else len(names),
            name,
        )

    found: list[Column] = []
    damaged: list[str] = []
    for folder in sorted((path for path in runs.glob(f"*/*/{TRAINED}") if path.is_dir()), key=rank):
        task, name = folder.parts[-3:-1]
        try:
            conditioned = takes_condition(folder)
        except CheckpointError as fault:
            damaged.append(str(fault))
            continue
        condition = params.tasks[task].condition if conditioned and task in params.tasks else None
        found.append(Column(f"{task} / {name}", folder, task, conditioned, condition))
    return Catalogue(found, damaged)


def require_adapters(catalogue: Catalogue, runs: Path = RUNS) -> None:
    """Refuse to start where nothing has been trained.

    Raises:
        UserError: there is no adapter.
    """
    if not catalogue.adapters:
        raise UserError(
            f"{runs}/<task>/<adapter>/{TRAINED}: there is no trained adapter to try; run `make repro` first, "
            "or fetch a team's results with `make pull`" + "".join(f"\n{line}" for line in catalogue.damaged)
        )
