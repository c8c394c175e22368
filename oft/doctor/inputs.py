"""Whether what a run reads is there: data sets and their licences, the base, networks, the user's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.acquire.folder import check_folder
from oft.acquire.official import refuse_unaccepted, require_download_space
from oft.acquire.sources import SOURCES
from oft.datasets.image_folder import read_image_folder
from oft.datasets.registry import readers_of_sources
from oft.doctor.finding import Finding, Scope
from oft.errors import UserError
from oft.models.hub import HUB_FORM, is_hub_id
from oft.prepare.prompt_list import read_prompt_list
from oft.storage import is_remote, list_remote
from oft.types import SPLITS, Counts

if TYPE_CHECKING:
    from oft.params import Params
    from oft.settings.data import Dataset

DOWNLOADS = Path(".downloads")
RAW = Path("data/raw")


def check_datasets(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield what is wrong with the sources of data sets and of captions, and with the files of subjects."""
    for name, dataset in params.datasets.items():
        if scope.has("acquire", name):
            key = f"datasets.{name}.acquire"
            try:
                _check_source(name, dataset, root)
            except UserError as fault:
                yield Finding("fault", key, str(fault))
            else:
                yield Finding("ok", key, f"source {dataset.acquire.source}")
        source = dataset.captions.source
        if scope.has("caption", name) and source == "blip":
            yield from _check_network("blip.model", params.blip.model, root)
        elif scope.has("caption", name) and source != "own" and not (root / source).is_file():
            yield _missing(
                f"datasets.{name}.captions.source", source, "own, blip or a prompt file that is here"
            )
    for name, subject in params.subjects.items():
        for key, path, check in (
            ("prompts", subject.prompts, read_prompt_list),
            ("class_pictures", subject.class_pictures, _check_pictures),
        ):
            if path is not None and scope.has("shard", name):
                try:
                    check(root / path)
                except UserError as fault:
                    yield Finding("fault", f"subjects.{name}.{key}", str(fault))


def _check_source(name: str, dataset: Dataset, root: Path) -> None:
    """Refuse a source that cannot be acquired from.

    Raises:
        UserError: it cannot.
    """
    settings = dataset.acquire
    if settings.source == "download":
        refuse_unaccepted(name, SOURCES[dataset.reader], settings)
        require_download_space(SOURCES[dataset.reader], root / RAW / name, root / DOWNLOADS / name)
    elif is_remote(settings.source):
        list_remote(settings.source)
    elif settings.source not in readers_of_sources():
        check_folder(root / settings.source, root / RAW / name)


def _check_pictures(folder: Path) -> None:
    """Refuse a folder of pictures that lists none; nothing is decoded.

    Raises:
        UserError: it has none, or is no folder.
    """
    if not any(True for split in SPLITS for _ in read_image_folder(folder, split, Counts())):
        raise UserError(f"{folder} must be a folder of pictures, and has none; put them there")


def check_networks(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield a fault for each condition whose network is neither here nor on the hub."""
    for name, task in params.tasks.items():
        # Without a model where the data set has its own maps.
        model = params.condition_settings(task).get("model")
        if model is not None and scope.has("extract", name):
            yield from _check_network(f"conditions.{task.condition}.model", model, root)


def check_protocols(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield a fault for each network of ControlNet++'s protocol that is neither here nor on the hub."""
    settings = params.evaluate.controlnetpp
    if settings.enabled and scope.has("evaluate"):
        conditions = {params.tasks[task].condition for task in params.control_tasks}
        for condition, key in (("segmentation", "segmenter"), ("depth", "depth")):
            if condition in conditions:
                yield from _check_network(f"evaluate.controlnetpp.{key}", getattr(settings, key), root)


def check_base(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield a fault where the base, its configuration or its tokenizer is neither here nor on the hub."""
    if not scope.has("base") or params.base.source == "miniature":
        return
    yield from _check_network("base.source", params.base.source, root)
    if (root / params.base.source).is_file():
        for key in ("config", "tokenizer"):
            value = getattr(params.base, key)
            if value is not None and ("/" in value or (root / value).exists()):
                yield from _check_network(f"base.{key}", value, root)


def _check_network(key: str, name: str, root: Path) -> Iterator[Finding]:
    if (root / name).exists():
        yield Finding("ok", key, f"{name} is here")
    elif is_hub_id(name):
        yield Finding("ok", key, f"{name}: of the hub, unless it is in the hub's cache here")
    else:
        yield _missing(key, name, f"a path that is here, or {HUB_FORM} on the hub")


def _missing(key: str, value: str, rule: str) -> Finding:
    return Finding("fault", key, f"must be {rule}; it is {value!r}")
