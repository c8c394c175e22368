"""From experiments to trials: which runs of the pipeline there are, and which of them the table has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.claims.catalogue import Experiment, Family, Setting
from experiments.claims.record import Record
from experiments.claims.table import Run
from flows.trials.changes import REPORTED_SEEDS
from flows.trials.trial import Part, Revision, Trial, make_trial
from oft.errors import UserError


@dataclass(frozen=True)
class Planned:
    """A trial, and how the table names its setting."""

    trial: Trial
    label: str

    def run(self, part: Part) -> Run:
        """Return how the table names a part."""
        return Run(part.task, part.adapter, self.label, self.trial.seed)

    @property
    def runs(self) -> list[Run]:
        """How the table names all parts."""
        return [self.run(part) for part in self.trial.parts]

    @property
    def is_shown(self) -> bool:
        """Whether the evidence shows pictures of it: of one seed, and of the profile's own settings."""
        return self.trial.seed == REPORTED_SEEDS[0] and not self.label

    def is_measured(self, part: Part, records: Mapping[Run, Record], *, any_code: bool = False) -> bool:
        """Return whether a part is recorded, under the same settings and code unless ``any_code``."""
        record = records.get(self.run(part))
        return record is not None and (any_code or record.digest == self.trial.digest_of(part))


def choose(known: Sequence[Experiment], names: Sequence[str]) -> tuple[Experiment, ...]:
    """Return the experiments of these names, all for none.

    Raises:
        UserError: there is none of a name.
    """
    by_name = {experiment.name: experiment for experiment in known}
    if unknown := [name for name in names if name not in by_name]:
        raise UserError(f"--experiments {unknown[0]!r} must be one of {', '.join(by_name)}")
    return tuple(by_name[name] for name in names) if names else tuple(known)


def plan(
    revision: Revision, chosen: Iterable[Experiment], seeds: Sequence[int], folder: Path
) -> list[Planned]:
    """Return the trials of experiments: all of one seed before the next, each run once.

    Args:
        folder: trials lie in it.

    Raises:
        UserError: see `make_trial`.
    """
    families = [family for experiment in chosen for family in experiment.families]
    planned: list[Planned] = []
    seen: set[Run] = set()
    for seed in seeds:
        for family, setting in _with_settings(families):
            trial = make_trial(revision, setting.changes, seed, family.tasks, family.adapters, folder)
            one = Planned(trial, setting.label)
            parts = tuple(part for part in trial.parts if one.run(part) not in seen)
            if parts:
                planned.append(replace(one, trial=replace(trial, parts=parts)))
                seen.update(planned[-1].runs)
    return planned


def _with_settings(families: Iterable[Family]) -> Iterator[tuple[Family, Setting]]:
    for family in families:
        for setting in family.settings:
            yield family, setting


def only(planned: Iterable[Planned], tasks: Sequence[str], adapters: Sequence[str]) -> list[Planned]:
    """Return the runs of these tasks and adapters; none given leaves all.

    Raises:
        UserError: no run is of one of them.
    """
    every = list(planned)
    for option, names, known in (
        ("--tasks", tasks, [part.task for one in every for part in one.trial.parts]),
        ("--adapters", adapters, [part.adapter for one in every for part in one.trial.parts]),
    ):
        if unknown := [name for name in names if name not in known]:
            raise UserError(f"{option} {unknown[0]!r} must be one of {', '.join(dict.fromkeys(known))}")

    def wanted(part: Part) -> bool:
        return (not tasks or part.task in tasks) and (not adapters or part.adapter in adapters)

    return _with_parts(every, lambda one, part: wanted(part))


def without_recorded(
    planned: Iterable[Planned], records: Mapping[Run, Record], *, any_code: bool
) -> list[Planned]:
    """Return what is still to be run.

    Args:
        any_code: count runs of other code as measured too.
    """
    return _with_parts(planned, lambda one, part: not one.is_measured(part, records, any_code=any_code))


def _with_parts(planned: Iterable[Planned], is_kept: Callable[[Planned, Part], bool]) -> list[Planned]:
    """Return trials with the parts that are kept, and without those that have none left."""
    kept = [(one, tuple(part for part in one.trial.parts if is_kept(one, part))) for one in planned]
    return [replace(one, trial=replace(one.trial, parts=parts)) for one, parts in kept if parts]
