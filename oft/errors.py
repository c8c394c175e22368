"""Faults a user can mend: entry points print their message alone; a bug keeps its traceback."""

from __future__ import annotations


class UserError(Exception):
    """A fault in what the user gave: the message names file or key, rule, value and remedy."""


class ParamsError(UserError):
    """params.yaml breaks one or more rules; the message lists all of them."""


class DataError(UserError):
    """A data set, shard or picture is missing, damaged or of another layout than expected."""


class TrainingError(UserError):
    """A training cannot go on with the settings given."""


class CheckpointError(UserError):
    """Weights are missing, damaged or belong to another architecture."""


class WorkerError(UserError):
    """The processes that share a stage's work cannot do it."""


def first_line(fault: Exception) -> str:
    """Return what an error says first, without a full stop; its type where it says nothing."""
    lines = str(fault).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(fault).__name__
