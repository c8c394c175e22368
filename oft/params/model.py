"""params.yaml as typed objects: parsed once, strictly, with all faults named at once.

The meaning, unit and range of every setting stand in ``conf/defaults.yaml``; the sections in
``oft.settings`` and `Params` enforce them.
"""

from __future__ import annotations

import functools
import operator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    create_model,
    model_validator,
)

from oft.adapters.protocol import AdapterSettings, Method, TrainingSection
from oft.adapters.registry import METHODS
from oft.conditions.registry import CONDITIONS, Conditions, parse_settings
from oft.datasets.registry import READERS, readers_of_sources
from oft.errors import ParamsError
from oft.evaluation.metric import STYLE, SUBJECT
from oft.evaluation.registry import score_names
from oft.params.agreement import disagreements
from oft.params.faults import describe
from oft.schedulers import SCHEDULERS
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

PARAMS_FILE = Path("params.yaml")


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
        if faults := list(disagreements(self)):
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
    if not isinstance(values, dict):
        held = "nothing" if values is None else f"a {type(values).__name__}"
        raise ParamsError(
            f"{source}: must be a mapping of settings, and holds {held}; `oft profile miniature` writes "
            f"{PARAMS_FILE} anew"
        )
    try:
        params_class = _params_class(tuple(METHODS.values()))
        return params_class.model_validate(share_training(values), context=_known_names())
    except ValidationError as error:
        faults = [fault | {"loc": written_location(fault["loc"], values)} for fault in error.errors()]
        lines = list(dict.fromkeys(line for fault in faults for line in describe(fault, Params)))
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
