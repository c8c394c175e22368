"""params.yaml as typed objects: parsed once, strictly, with all faults named at once.

The meaning, unit and range of every setting stand in ``conf/defaults.yaml``; this module enforces them.
It is over 400 lines, as the class and the rules by which its parts agree read one another.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import operator
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    create_model,
    model_validator,
)

from oft.adapters.protocol import AdapterSettings, Method, TrainingSection
from oft.adapters.registry import BASE_ALONE, METHODS
from oft.conditions.registry import CONDITIONS, Conditions, parse_settings
from oft.datasets.registry import READERS, readers_of_sources
from oft.errors import ParamsError
from oft.evaluation.controlnetpp import CONTROLNETPP_NUM_SAMPLES, CONTROLNETPP_SIDE_PX
from oft.evaluation.metric import STYLE, SUBJECT
from oft.evaluation.registry import score_names
from oft.schedulers import OPTIONAL_SETTINGS, SCHEDULERS, samplers_taking
from oft.settings.data import Blip, Dataset, Encoding, Shards, Style, Subject, Task
from oft.settings.evaluation import Angles, Drawing, Evaluation, Gate, Report, Sampling
from oft.settings.section import (
    BatchSize,
    Name,
    NaturalInt,
    PositiveFloat,
    PositiveInt,
    Section,
    multiple_of,
    with_fields,
)
from oft.settings.training import (
    SHARED_SECTION,
    Base,
    Optimization,
    Prior,
    SubjectTraining,
    Training,
    Transfer,
    share_training,
    written_location,
)
from oft.storage import YAMLError, load_yaml
from oft.storage.yaml12 import yaml_number

PARAMS_FILE = Path("params.yaml")

# Folders beside the tasks' own.
RESERVED_NAMES = ("angles", "report")


class NetworkRecipe(Section):
    """How one miniature network is pretrained for one round."""

    steps: PositiveInt
    batch_size: BatchSize
    learning_rate: PositiveFloat
    decay_steps: PositiveInt | None = None


Rounds = Annotated[list[NetworkRecipe], Field(min_length=1)]


class Pretraining(Section):
    """How the miniature base and its judges are made."""

    seed: NaturalInt
    pool_images: Annotated[int, Field(ge=64)]
    vae: Rounds
    denoiser: Rounds
    segmenter: Rounds
    part_segmenter: Rounds
    clip: Rounds
    extractor: Rounds
    landmarks: Rounds
    depth: Rounds


def known_scores(gate: Gate) -> Gate:
    """Return the gate, whose metrics must be among those that each picture has."""
    if unknown := [name for name in gate.metrics if name not in score_names()]:
        raise ValueError(
            f"metrics: each must be one of {', '.join(score_names())}, which every picture has; "
            f"{', '.join(map(repr, unknown))} is not"
        )
    return gate


class Params(Section):
    """Every setting of a run."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    resolution_px: Annotated[int, Field(ge=8, le=4096), multiple_of(8)]
    datasets: dict[Name, Dataset]
    blip: Blip
    tasks: dict[Name, Task]
    subjects: dict[Name, Subject]
    styles: dict[Name, Style]
    conditions: Annotated[SerializeAsAny[Conditions], PlainValidator(parse_settings)]
    shards: Shards
    encode: Encoding
    control_tasks: list[Name]
    subject_tasks: list[Name]
    style_tasks: list[Name]
    control_adapters: list[Name]
    subject_adapters: list[Name]
    style_adapters: list[Name]
    transfers: dict[str, Transfer]
    base_tasks: list[Name]
    sample_shards: list[NaturalInt]
    base: Base
    adapters: dict[Name, AdapterSettings]
    train: Training
    train_subject: SubjectTraining
    prior: Prior
    identifier: Annotated[str, Field(pattern=r"^\S+$")]
    instance_prompt: Annotated[str, with_fields("{identifier}", "{class}")]
    class_prompt: Annotated[str, with_fields("{class}")]
    fit_magnitude: Optimization
    # As it is written; the three sections above that train have its values already.
    training: Annotated[dict[str, Any], Field(exclude=True)]
    sample: Sampling
    drawings: dict[Name, Drawing]
    evaluate: Evaluation
    angles: Angles
    report: Report
    gate: Annotated[Gate, AfterValidator(known_scores)]
    pretrain: Pretraining

    @model_validator(mode="after")
    def _parts_agree(self) -> Params:
        checks = (
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
        )
        if faults := [fault for check in checks for fault in check(self)]:
            raise ValueError("\n".join(faults))
        return self

    @property
    def gated_tasks(self) -> list[str]:
        """The tasks whose adapter the gate judges."""
        return self.gate.tasks or self.trained_tasks

    @property
    def trained_tasks(self) -> list[str]:
        """The tasks that adapters are trained on: those with a condition, subjects, styles."""
        return [*self.control_tasks, *self.subject_tasks, *self.style_tasks]

    @property
    def all_tasks(self) -> dict[str, Task | Subject | Style]:
        """Every task with a condition, subject and style by its name."""
        return {**self.tasks, **self.subjects, **self.styles}

    def adapters_of(self, task: str) -> list[str]:
        """Return the adapters that one of `all_tasks` trains where it is among `trained_tasks`."""
        if task in self.subjects:
            return self.subject_adapters
        return self.style_adapters if task in self.styles else self.control_adapters

    def condition_of(self, task: str) -> str:
        """Return the condition of one of `all_tasks`; `SUBJECT` or `STYLE` for one that learns such."""
        if task in self.tasks:
            return self.tasks[task].condition
        return SUBJECT if task in self.subjects else STYLE

    def training_of(self, task: str, adapter: str | None = None) -> Training:
        """Return how one of `all_tasks` is trained, at an adapter's own rate; a style as other tasks are."""
        section: TrainingSection = "train_subject" if task in self.subjects else "train"
        settings: Training = getattr(self, section)
        return settings.at_rate(self._rate(adapter, section))

    def magnitude_training_of(self, adapter: str) -> Optimization:
        """Return how an adapter's magnitudes are fitted, at its own rate."""
        return self.fit_magnitude.at_rate(self._rate(adapter, "fit_magnitude"))

    def _rate(self, adapter: str | None, section: TrainingSection) -> float | None:
        return None if adapter is None else self.adapters[adapter].learning_rates.get(section)

    def condition_settings(self, task: Task) -> dict[str, Any]:
        """Return what shapes a task's condition: nothing of a network where the data set has its own maps."""
        condition, reader = CONDITIONS[task.condition], READERS[self.datasets[task.dataset].reader]
        if condition.load is not None and not condition.needs_network(reader.gives(condition.annotation)):
            return {}
        settings: dict[str, Any] = getattr(self.conditions, task.condition).model_dump()
        return settings


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


@cache
def _params_class(methods: tuple[Method, ...]) -> type[Params]:
    """Return ``Params`` with the settings of these kinds of adapters, told apart by ``method``."""
    settings = functools.reduce(operator.or_, (method.settings for method in methods))
    adapters = dict[Name, Annotated[settings, Field(discriminator="method")]]  # type: ignore[valid-type]
    return create_model("Params", __base__=Params, adapters=(adapters, ...))


def _known_names() -> dict[str, Any]:
    """Return the names that settings may have, see `oft.settings.section.one_of`."""
    return {
        "conditions": list(CONDITIONS),
        "readers": list(READERS),
        "readers_of_sources": readers_of_sources(),
        "schedulers": list(SCHEDULERS),
    }


def parse_params(values: Any, source: str = "params.yaml") -> Params:
    """Return the settings in ``values``.

    Raises:
        ParamsError: it lists every unknown key, missing key, wrong type and value out of range.
    """
    try:
        params_class = _params_class(tuple(METHODS.values()))
        return params_class.model_validate(share_training(values), context=_known_names())
    except ValidationError as error:
        faults = [fault | {"loc": written_location(fault["loc"], values)} for fault in error.errors()]
        lines = list(dict.fromkeys(line for fault in faults for line in _describe(fault)))
        raise ParamsError(
            f"{source}: {len(lines)} setting(s) break the rules in conf/defaults.yaml:\n"
            + "\n".join(f"  - {line}" for line in lines)
        ) from None


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and parse a params file.

    Raises:
        ParamsError: the file is missing, no YAML, or breaks a rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path} is not UTF-8 text ({error}); save it as UTF-8 or run `git checkout {path}`"
        ) from None
    except FileNotFoundError:
        raise ParamsError(
            f"{path} is missing; run from the repository's root, "
            "or write it with `make profile PROFILE=miniature`"
        ) from None
    try:
        values = load_yaml(text)
    except YAMLError as error:
        raise ParamsError(f"{path} is no valid YAML: {error}; mend it or run `git checkout {path}`") from None
    return parse_params(values, str(path))


def _describe(fault: Any) -> list[str]:
    """Return pydantic's fault as lines of key, rule and value."""
    location = fault["loc"]
    if location[:1] == ("adapters",) and len(location) > 2:
        location = (*location[:2], *location[3:])  # the third part is the method that chose the settings
    key = ".".join(str(part) for part in location)
    value = fault.get("input")
    match fault["type"]:
        case "union_tag_invalid" | "union_tag_not_found":
            method = value.get("method") if isinstance(value, dict) else None
            found = "missing" if method is None else repr(method)
            return [f"{key}.method: must be one of {', '.join(METHODS)}; it is {found}"]
        case "extra_forbidden":
            near = difflib.get_close_matches(str(location[-1]), _known_keys(fault["loc"][:-1]), n=1)
            return [f"{key}: unknown key{f'; did you mean {near[0]!r}?' if near else '; remove it'}"]
        case "missing":
            return [f"{key}: missing; copy it from conf/defaults.yaml"]
        case "value_error":
            message = str(fault["ctx"]["error"])
            if not key:
                return message.split("\n")
            shown = "" if isinstance(value, dict) else f"; it is {value!r}"
            return [f"{key}: {message}{shown}"]
        case "float_type" if isinstance(value, str) and _is_number(value):
            return [f"{key}: must be a number; {value!r} is text; write {yaml_number(float(value))}"]
        case _:
            rule = fault["msg"][0].lower() + fault["msg"][1:]
            return [f"{key}: {rule}; it is {value!r}"]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the names of the settings in the section at ``location``."""
    section: Any = Params
    if location[:1] == ("adapters",) and len(location) > 2:
        section, location = METHODS[location[2]].settings, location[3:]
    if location == (SHARED_SECTION,):
        location = ("train",)
    if location[:1] == ("conditions",):
        known = {name: condition.settings for name, condition in CONDITIONS.items()}
        if len(location) == 1:
            return list(known)
        section, location = known.get(location[1]), location[2:]
    for part in location:
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            break
        field = section.model_fields.get(str(part))
        section = field.annotation if field else None
    if isinstance(section, type) and issubclass(section, BaseModel):
        return list(section.model_fields)
    return []
