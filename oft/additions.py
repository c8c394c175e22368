"""Settings of a subject, a style or a condition learned from a folder of the user's own pictures.

Each function takes the values of params.yaml and returns new ones; nothing is read or written.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from oft.errors import ParamsError
from oft.settings.data import CAPTION_FIELD

Values = dict[str, Any]
Kind = Literal["subject", "style", "control"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
# What a new task has to itself unless others are kept: lists of what runs, what a run acquires and shards.
_TASK_LISTS = ("control_tasks", "subject_tasks", "style_tasks", "base_tasks")
_SECTIONS = ("datasets", "tasks", "subjects", "styles", "transfers")


@dataclass(frozen=True)
class Addition:
    """A task to add.

    Attributes:
        kind: what is learned.
        name: the data set's; the task is ``subject_<name>``, ``style_<name>`` or ``<condition>_<name>``.
        folder: of the pictures.
        reader: of the folder's layout.
        settings: of the task beside its data set: ``class`` of a subject, ``condition`` of a task with one.
        captions: values of the data set's ``captions`` in place of the usual ones.
    """

    kind: Kind
    name: str
    folder: str
    reader: str
    settings: Values
    captions: Values

    @property
    def task(self) -> str:
        """The task's name."""
        return f"{self.settings['condition'] if self.kind == 'control' else self.kind}_{self.name}"


def subject(folder: str, name: str, class_word: str, **more: str | None) -> Addition:
    """Return the subject that a folder's pictures show.

    Args:
        more: ``prompts``, ``class_pictures``; None for none.
    """
    settings = {"class": class_word, **{key: value for key, value in more.items() if value is not None}}
    return Addition("subject", name, folder, "image_folder", settings, {})


def style(folder: str, name: str, template: str | None, captions: str) -> Addition:
    """Return the style that a folder's pictures have."""
    template = template or CAPTION_FIELD
    return Addition("style", name, folder, "train_folder", {}, {"source": captions, "template": template})


def control(folder: str, name: str, condition: str, captions: str) -> Addition:
    """Return the task of drawing a folder's pictures from a condition."""
    return Addition("control", name, folder, "train_folder", {"condition": condition}, {"source": captions})


def add(
    values: Values,
    addition: Addition,
    *,
    adapters: Sequence[str] = (),
    keep: bool = False,
    changes: Values | None = None,
) -> Values:
    """Return settings with a task added.

    Args:
        values: of params.yaml; left as they are.
        adapters: what is trained on it; () for those that the settings name.
        keep: what ran before runs on; otherwise the new task runs alone, and settings of other data sets and
            tasks go, so that none is acquired for nothing.
        changes: further settings by their keys with points, such as ``base.source``.

    Raises:
        ParamsError: the name is no name, or stands for something else already.
    """
    _refuse_name(values, addition)
    new = copy.deepcopy(values)
    if not keep:
        new |= {key: [] for key in _TASK_LISTS} | {key: {} for key in _SECTIONS}
    dataset = dataset_settings(addition.reader, addition.folder)
    new["datasets"][addition.name] = dataset | {"captions": dataset["captions"] | addition.captions}
    group = "tasks" if addition.kind == "control" else f"{addition.kind}s"
    new[group][addition.task] = {"dataset": addition.name, **addition.settings}
    for key in (f"{addition.kind}_tasks", "base_tasks"):
        new[key] = list(dict.fromkeys([*new[key], addition.task]))
    if adapters:
        key = f"{addition.kind}_adapters"
        new[key] = list(dict.fromkeys([*(new[key] if keep else ()), *adapters]))
        if not keep:
            new["gate"]["adapter"] = adapters[0]
    if not keep:
        new["angles"]["dataset"] = addition.name
        new["gate"]["tasks"] = None
    for path, value in (changes or {}).items():
        *sections, last = path.split(".")
        place = new
        for section in sections:
            place = place[section]
        place[last] = value
    return new


def dataset_settings(reader: str, source: str, **changes: Any) -> Values:
    """Return settings of a data set of somebody's own pictures: all of them, each one's centre square.

    Args:
        changes: settings in place of the usual ones.
    """
    return {
        "reader": reader,
        "num_train_images": 0,
        "num_val_images": 0,
        "acquire": {"source": source, "mirror": None, "accept_licence": False},
        "prepare": {"fit": "crop", "flip": False},
        "captions": {"source": "own", "rule": "all", "template": CAPTION_FIELD},
        **changes,
    }


def _refuse_name(values: Values, addition: Addition) -> None:
    name = addition.name
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "mine"
        raise ParamsError(
            f"--name ({name}): must be small letters, digits and _, and begin with one of the first two; for "
            f"example --name {near}"
        )
    known = values["datasets"].get(name)
    if known is not None and known["acquire"]["source"] != addition.folder:
        raise ParamsError(
            f"--name ({name}): params.yaml has a data set of this name, from {known['acquire']['source']}; "
            "choose another --name"
        )
