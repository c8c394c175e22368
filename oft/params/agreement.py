"""Rules between sections of params.yaml: names that stand for something, and choices that fit each other."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from oft.adapters.registry import BASE_ALONE, METHODS
from oft.conditions.registry import CONDITIONS
from oft.datasets.registry import READERS
from oft.evaluation.controlnetpp import CONTROLNETPP_NUM_SAMPLES, CONTROLNETPP_SIDE_PX
from oft.schedulers import OPTIONAL_SETTINGS, SCHEDULERS, samplers_taking

if TYPE_CHECKING:
    from oft.params.model import Params

# Folders beside the tasks' own.
RESERVED_NAMES = ("angles", "report")


def disagreements(params: Params) -> Iterator[str]:
    """Yield a fault for each rule that the sections break together: key, rule, value, remedy."""
    for rule in (
        _unknown_names,
        _folder_names,
        _unfit_adapters,
        _unfit_transfers,
        _unfit_drawings,
        _unfit_conditions,
        _unfit_subjects,
        _unfit_styles,
        _unfit_shards,
        _unfit_sampling,
        _unfit_protocol,
    ):
        yield from rule(params)


def _unknown_names(params: Params) -> Iterator[str]:
    """Yield a fault for each name that stands for nothing."""
    tasks, subjects, styles, transfers = params.tasks, params.subjects, params.styles, params.transfers
    trained_adapters = {*params.control_adapters, *params.subject_adapters, *params.style_adapters}
    references: list[tuple[str, Mapping[Any, str], Collection[str]]] = [
        ("tasks.{}.dataset", {key: task.dataset for key, task in tasks.items()}, params.datasets),
        ("subjects.{}.dataset", {key: one.dataset for key, one in subjects.items()}, params.datasets),
        ("styles.{}.dataset", {key: one.dataset for key, one in styles.items()}, params.datasets),
        ("angles.{}", {"dataset": params.angles.dataset}, params.datasets),
        ("control_tasks[{}]", dict(enumerate(params.control_tasks)), tasks),
        ("subject_tasks[{}]", dict(enumerate(params.subject_tasks)), subjects),
        ("style_tasks[{}]", dict(enumerate(params.style_tasks)), styles),
        ("base_tasks[{}]", dict(enumerate(params.base_tasks)), params.all_tasks),
        ("control_adapters[{}]", dict(enumerate(params.control_adapters)), params.adapters),
        ("subject_adapters[{}]", dict(enumerate(params.subject_adapters)), params.adapters),
        ("style_adapters[{}]", dict(enumerate(params.style_adapters)), params.adapters),
        ("transfers.{}.task", {key: one.task for key, one in transfers.items()}, tasks),
        (
            "transfers.{}.trained_on",
            {key: one.trained_on for key, one in transfers.items()},
            params.control_tasks,
        ),
        (
            "transfers.{}.adapter",
            {key: one.adapter for key, one in transfers.items()},
            params.control_adapters,
        ),
        ("drawings.{}.task", {key: one.task for key, one in params.drawings.items()}, params.trained_tasks),
        ("gate.{}", {"adapter": params.gate.adapter}, trained_adapters),
        ("gate.tasks[{}]", dict(enumerate(params.gate.tasks or [])), params.trained_tasks),
    ]
    for pattern, values, known in references:
        for key, value in values.items():
            if value not in known:
                names = ", ".join(sorted(known)) or "(none is defined)"
                yield f"{pattern.format(key)}: must be one of {names}; it is {value!r}"


def _folder_names(params: Params) -> Iterator[str]:
    """Yield a fault for each name that would share its folder under runs/."""
    if BASE_ALONE in params.adapters:
        yield f"adapters.{BASE_ALONE}: is the name of the base alone; choose another"
    groups: dict[str, Collection[str]] = {
        "tasks": params.tasks,
        "subjects": params.subjects,
        "styles": params.styles,
    }
    for group, names in groups.items():
        for name in RESERVED_NAMES:
            if name in names:
                yield f"{group}.{name}: is the name of another folder under runs/; choose another"
    for first, second in combinations(groups, 2):
        if both := set(groups[first]) & set(groups[second]):
            yield f"{second}: {', '.join(sorted(both))} stands in {first} too; rename one of them"


def _unfit_adapters(params: Params) -> Iterator[str]:
    """Yield a fault for each adapter that cannot learn a subject or a style and is to."""
    for kind, names in (("subject", params.subject_adapters), ("style", params.style_adapters)):
        for index, name in enumerate(names):
            adapter = params.adapters.get(name)
            if adapter and METHODS[adapter.method].needs_condition:
                yield (
                    f"{kind}_adapters[{index}]: {name} (method {adapter.method}) learns from conditioning "
                    f"images alone, and a {kind} has none; take it out"
                )


def _unfit_transfers(params: Params) -> Iterator[str]:
    """Yield a fault for each transfer under a wrong key, or whose task trains an adapter of its own."""
    for key, transfer in params.transfers.items():
        if key != f"{transfer.task}-{transfer.adapter}":
            yield f"transfers.{key}: the key must be task-adapter, here {transfer.task}-{transfer.adapter}"
        if transfer.task in params.control_tasks:
            yield (
                f"transfers.{key}: {transfer.task} is in control_tasks and trains its own "
                f"{transfer.adapter}; take it out of one of them"
            )


def _unfit_drawings(params: Params) -> Iterator[str]:
    """Yield a fault for each drawing by an adapter that its task does not train."""
    for key, drawing in params.drawings.items():
        trained = params.adapters_of(drawing.task)
        if drawing.task in params.trained_tasks and drawing.adapter not in trained:
            yield (
                f"drawings.{key}.adapter: must be one of those that {drawing.task} trains, "
                f"{', '.join(trained)}; it is {drawing.adapter!r}"
            )


def _unfit_conditions(params: Params) -> Iterator[str]:
    """Yield a fault for each task whose data set lacks what its condition is made from."""
    for key, task in params.tasks.items():
        condition, dataset = CONDITIONS[task.condition], params.datasets.get(task.dataset)
        if not dataset or not condition.needs_annotation():
            continue
        if not READERS[dataset.reader].gives(condition.annotation):
            readers = [reader.name for reader in READERS.values() if reader.gives(condition.annotation)]
            yield (
                f"tasks.{key}: condition {task.condition} needs maps, which reader {dataset.reader} "
                f"does not give; choose a data set with reader {' or '.join(readers) or '(none does)'}"
            )


def _unfit_subjects(params: Params) -> Iterator[str]:
    """Yield a fault for each subject that does not say what its data set's layout leaves open."""
    for key, subject in params.subjects.items():
        dataset = params.datasets.get(subject.dataset)
        match dataset.reader if dataset else None:
            case None:
                continue
            case "dreambooth":
                if subject.subject is None:
                    yield f"subjects.{key}.subject: missing; name one of those in {subject.dataset}"
                if subject.class_name is not None:
                    yield (
                        f"subjects.{key}.class: {subject.dataset} lists the class of each subject; it is "
                        f"{subject.class_name!r}; take it out"
                    )
            case "image_folder":
                if subject.class_name is None:
                    yield (
                        f"subjects.{key}.class: missing; write the word for what the pictures in "
                        f"{subject.dataset} show, such as dog"
                    )
                if subject.subject is not None:
                    yield (
                        f"subjects.{key}.subject: all pictures of a data set with reader image_folder are of "
                        f"the one subject; it is {subject.subject!r}; take it out"
                    )
            case reader:
                yield (
                    f"subjects.{key}: a subject's data set has reader dreambooth or image_folder; "
                    f"{subject.dataset} has {reader}"
                )


def _unfit_styles(params: Params) -> Iterator[str]:
    """Yield a fault for each style whose data set has neither captions nor held-out pictures."""
    for key, style in params.styles.items():
        dataset = params.datasets.get(style.dataset)
        if dataset and dataset.reader == "dreambooth":
            yield (
                f"styles.{key}: a style's data set has captions and pictures for validation; "
                f"{style.dataset} has reader dreambooth, which gives neither; choose another data set"
            )


def _unfit_shards(params: Params) -> Iterator[str]:
    """Yield a fault if the parts of sampling do not count up from 0."""
    shards = params.sample_shards
    if shards != list(range(len(shards))) or not shards:
        yield f"sample_shards: must count up from 0, for example [0, 1]; it is {shards}"


def _unfit_sampling(params: Params) -> Iterator[str]:
    """Yield a fault for each setting that the sampler has no use for."""
    name = params.sample.scheduler
    for setting, neutral in OPTIONAL_SETTINGS.items():
        value = getattr(params.sample, setting)
        if value != neutral and setting not in SCHEDULERS[name].takes:
            yield (
                f"sample.{setting}: must be {json.dumps(neutral)} with {name}, which does not take it; "
                f"set it so, or choose one of {', '.join(samplers_taking(setting))}; it is {value!r}"
            )


def _unfit_protocol(params: Params) -> Iterator[str]:
    """Yield a fault for each setting that ControlNet++'s protocol, where it is on, has at another value."""
    if not params.evaluate.controlnetpp.enabled:
        return
    fixed = {
        "resolution_px": (params.resolution_px, CONTROLNETPP_SIDE_PX),
        "sample.num_samples": (params.sample.num_samples, CONTROLNETPP_NUM_SAMPLES),
    }
    for name, (value, wanted) in fixed.items():
        if value != wanted:
            yield (
                f"{name}: must be {wanted} under ControlNet++'s protocol; set it so, or "
                f"evaluate.controlnetpp.enabled: false; it is {value}"
            )
