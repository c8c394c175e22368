"""Where stages find and put things. Nothing else in the project chooses a path."""

from __future__ import annotations

from pathlib import Path

MINIATURE = Path("data/models/miniature")
BASE = Path("data/models/base")
REPORT = Path("report")
ANGLES = Path("runs/angles")
CHECKPOINTS = Path(".checkpoints")
TELEMETRY = Path(".telemetry")
DOWNLOADS = Path(".downloads")
LOGS = Path(".logs")
LOCKS = Path(".locks")
SHARD_CACHE = Path(".shards")


def judges(source: str) -> Path:
    """The networks that measure pictures: the miniature ones, or a folder of the user's."""
    return MINIATURE / "judges" if source == "miniature" else Path(source)


def raw(dataset: str) -> Path:
    """A data set in its official layout."""
    return Path("data/raw") / dataset


def downloads(dataset: str) -> Path:
    """The archives of a data set, whole or to be continued; kept, so that nothing is fetched twice."""
    return DOWNLOADS / dataset


def conditions(task: str) -> Path:
    """Prepared pictures with their conditions, a tar for each split and picture size."""
    return Path("data/conditions") / task


def captions(dataset: str) -> Path:
    """The captions of a data set."""
    return Path("data/captions") / dataset / "captions.jsonl"


def shards(task: str) -> Path:
    """The shards of a task."""
    return Path("data/shards") / task


def prior(task: str) -> Path:
    """Shards of the class pictures of a subject."""
    return Path("data/prior") / task


def encoded(task: str) -> Path:
    """What the base says of the shards of a task."""
    return Path("data/encoded") / task / "shards"


def encoded_prior(task: str) -> Path:
    """What the base says of the class pictures of a subject."""
    return Path("data/encoded") / task / "prior"


def run(task: str, adapter: str) -> Path:
    """Everything about one adapter on one task."""
    return Path("runs") / task / adapter


def counts(folder: Path) -> Path:
    """What a data stage counted, beside its out."""
    return folder.with_name(f"{folder.name}.counts.json")
