"""params.yaml as typed objects: parsed once, strictly, with all faults named at once.

The meaning, unit and range of every setting stand in ``conf/defaults.yaml``; this module enforces them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from oft.errors import ParamsError

PARAMS_FILE = Path("params.yaml")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
PositiveInt = Annotated[int, Field(ge=1)]
NaturalInt = Annotated[int, Field(ge=0)]
BatchSize = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
AdapterName = Literal["oft", "coft"]
# Folders beside the tasks' own.
RESERVED_NAMES = ("angles", "report")
ReaderName = Literal[
    "ade20k",
    "celeba_hq",
    "coco",
    "deepfashion",
    "dreambooth",
    "fill50k",
    "hub",
    "image_folder",
    "reference",
]
ConditionName = Literal[
    "canny",
    "lineart_standard",
    "depth",
    "hed",
    "lineart",
    "mlsd",
    "normal",
    "openpose",
    "scribble",
    "segmentation",
    "densepose",
    "landmarks",
    "circles",
    "given",
]
# Conditions that are made from an annotation beside the picture, and the readers that find one. Those of
# NETWORK_FINDS do without: a network finds it where the reader does not.
READERS_WITH_MAPS: dict[str, tuple[str, ...]] = {
    "segmentation": ("ade20k",),
    "densepose": ("deepfashion",),
    "landmarks": ("celeba_hq",),
    "circles": ("fill50k",),
    "given": ("fill50k", "hub", "reference"),
}
NETWORK_FINDS = ("segmentation",)
# The layouts, by their readers, that a source can give; a folder of the user's can have any.
READERS_OF_SOURCES: dict[str, tuple[str, ...]] = {
    "world": ("ade20k", "coco", "deepfashion", "dreambooth"),
    "photos": ("image_folder",),
    "download": ("ade20k", "coco", "dreambooth", "fill50k"),
}
# Where a template takes a picture's caption.
CAPTION_FIELD = "{caption}"
S3_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^\s@?#]*)?")
_MIRROR = re.compile(
    rf"https?://[^/\s@?#]+(/[^\s@?#]*)?|file:///[^\s?#]*|{S3_ADDRESS.pattern}"
    r"|hf://datasets/[\w.-]+/[\w.-]+@[0-9a-f]{40}(/[^\s@?#]*)?"
)
# What stages.evaluate scores each picture by.
ScoreName = Literal["aacc", "part_accuracy", "canny_f1", "dino", "clip_i", "clip_t"]
SchedulerName = Literal["ddim", "dpmsolver++", "unipc", "euler", "heun"]


def _multiple_of_8(value: int) -> int:
    if value % 8:
        raise ValueError(f"must be a multiple of 8, for example {value // 8 * 8 or 8}")
    return value


def _multiple_of_64(value: int) -> int:
    if value % 64:
        raise ValueError(f"must be a multiple of 64, for example {value // 64 * 64 or 64}")
    return value


def _with_fields(*fields: str) -> Callable[[str], str]:
    def check(template: str) -> str:
        words = template
        for field in fields:
            words = words.replace(field, "", 1)
        missing = any(field not in template for field in fields)
        if missing or "{" in words or "}" in words or not words.isprintable():
            raise ValueError(
                f"must be one line of text with {' and '.join(fields)} once and no other brace, for example "
                f"'a {' '.join(fields)}'"
            )
        return template

    return check


class Section(BaseModel):
    """A group of settings: immutable, strict about types, closed to unknown keys, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Acquisition(Section):
    """Where a data set comes from."""

    source: Annotated[str, Field(min_length=1)]
    mirror: str | None
    accept_licence: bool

    @model_validator(mode="after")
    def _addresses_can_be_read(self) -> Acquisition:
        # A fault never repeats the address: it may hold a password.
        if "://" in self.source and not S3_ADDRESS.fullmatch(self.source):
            raise ValueError(
                "source must be world, photos, download, a folder or s3://bucket/prefix; other addresses "
                "belong in mirror, without user name, password or query"
            )
        if self.mirror is not None and self.source != "download":
            raise ValueError(
                f"mirror is read with source download alone and source is {self.source!r}; set mirror null"
            )
        if self.mirror is not None and not _MIRROR.fullmatch(self.mirror):
            raise ValueError(
                "mirror must be null, http(s)://host/prefix, file:///folder, s3://bucket/prefix or "
                "hf://datasets/OWNER/NAME@COMMIT (40 hexadecimal digits), without user name, password or "
                "query"
            )
        return self


class Preparation(Section):
    """How pictures are brought to the run's size."""

    fit: Literal["crop", "pad", "buckets"]
    flip: bool


class Captioning(Section):
    """Where captions come from and what becomes of them."""

    source: Annotated[str, Field(min_length=1)]
    rule: Literal["all", "first", "random"]
    template: str

    @model_validator(mode="after")
    def _template_is_sound(self) -> Captioning:
        words = self.template.replace(CAPTION_FIELD, "", 1)
        if not self.template.strip() or "{" in words or "}" in words or not words.isprintable():
            raise ValueError(
                f"template must be one line of text with {CAPTION_FIELD} at most once and no other brace; it "
                f"is {self.template!r}"
            )
        if CAPTION_FIELD not in self.template and self.source != "own":
            raise ValueError(
                f"template {self.template!r} has no {CAPTION_FIELD}, so captions from {self.source!r} would "
                f"go unused; add {CAPTION_FIELD} or set source to own"
            )
        return self


class Dataset(Section):
    """A data set: its layout, its size, and what each stage does with it."""

    reader: ReaderName
    num_train_images: NaturalInt
    num_val_images: NaturalInt
    acquire: Acquisition
    prepare: Preparation
    captions: Captioning

    @model_validator(mode="after")
    def _source_gives_the_layout(self) -> Dataset:
        source = self.acquire.source
        readers = READERS_OF_SOURCES.get(source, (self.reader,))
        if self.reader not in readers:
            raise ValueError(
                f"acquire.source {source!r} gives the layout of reader {' or '.join(readers)}, and reader is "
                f"{self.reader}; set source to a folder (docs/datasets.md says where to get the data)"
            )
        return self


class Blip(Section):
    """How BLIP describes pictures."""

    model: str
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    num_beams: Annotated[int, Field(ge=1, le=16)]
    max_new_tokens: Annotated[int, Field(ge=1, le=128)]


class Task(Section):
    """A data set paired with a condition."""

    dataset: Name
    condition: ConditionName


class Subject(Section):
    """One subject of a data set in the DreamBooth layout."""

    dataset: Name
    subject: str


class Canny(Section):
    """Thresholds of the edge detector."""

    low_threshold: Annotated[int, Field(ge=0, le=255)]
    high_threshold: Annotated[int, Field(ge=0, le=255)]

    @model_validator(mode="after")
    def _ordered(self) -> Canny:
        if self.low_threshold >= self.high_threshold:
            raise ValueError(
                f"low_threshold ({self.low_threshold}) must be below high_threshold ({self.high_threshold})"
            )
        return self


class LineartStandard(Section):
    """Line art without a network."""

    sigma_px: Annotated[float, Field(gt=0, le=64)]
    intensity_threshold: Annotated[float, Field(ge=0, le=255)]


class Predictor(Section):
    """A network in transformers' layout."""

    model: Annotated[str, Field(min_length=1)]


class Annotator(Section):
    """A network of ControlNet's annotators."""

    model: Annotated[str, Field(min_length=1)]
    resolution_px: Annotated[int, Field(ge=64, le=2048), AfterValidator(_multiple_of_64)]


class Lineart(Annotator):
    """The network that draws lines."""

    coarse: bool


class Mlsd(Annotator):
    """The network that finds straight segments."""

    score_threshold: Share
    distance_threshold: NonNegativeFloat


class Openpose(Annotator):
    """The networks that find people."""

    hands_and_face: bool


class Unset(Section):
    """A condition without settings."""


class Conditions(Section):
    """Settings of each condition, under its name."""

    canny: Canny
    lineart_standard: LineartStandard
    depth: Predictor
    hed: Annotator
    lineart: Lineart
    mlsd: Mlsd
    normal: Annotator
    openpose: Openpose
    scribble: Annotator
    segmentation: Predictor
    densepose: Unset
    landmarks: Unset
    circles: Unset
    given: Unset


class Shards(Section):
    """How samples are packed."""

    samples_per_shard: Annotated[int, Field(ge=1, le=100_000)]
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]


class Encoding(Section):
    """What is computed once before training."""

    latents: bool
    text: bool


class Transfer(Section):
    """A task evaluated with the adapter that another task trained."""

    task: Name
    adapter: AdapterName
    trained_on: Name


class Base(Section):
    """The checkpoint everything starts from."""

    source: str
    variant: Literal["fp16"] | None
    config: str
    tokenizer: str | None
    use_ema: bool


class Rotation(Section):
    """Shape of the orthogonal adapter."""

    num_blocks: PositiveInt | None
    block_size: Annotated[int, Field(ge=2)] | None
    block_share: bool
    coft: bool
    eps: PositiveFloat
    eps_convention: Literal["reference", "peft"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    application: Literal["auto", "weight", "input"]
    target_modules: list[str] | None

    @model_validator(mode="after")
    def _blocks_are_given_once(self) -> Rotation:
        if (self.num_blocks is None) == (self.block_size is None):
            raise ValueError(
                f"one of num_blocks ({self.num_blocks}) and block_size ({self.block_size}) must be a number "
                "and the other null"
            )
        return self

    @model_validator(mode="after")
    def _targets_are_null_or_some(self) -> Rotation:
        if self.target_modules is not None and not self.target_modules:
            raise ValueError("target_modules must name a layer, got []; null takes those of the paper")
        return self


class AdapterSettings(Section):
    """Settings of every adapter."""

    oft: Rotation
    coft: Rotation


class Optimization(Section):
    """Optimization of one set of parameters."""

    max_train_steps: Annotated[int, Field(ge=1, le=10_000_000)]
    batch_size: BatchSize
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine"]
    warmup_steps: NaturalInt
    weight_decay: NonNegativeFloat
    max_grad_norm: PositiveFloat
    gradient_accumulation_steps: PositiveInt
    optimizer: Literal["adamw", "adamw8bit"]
    mixed_precision: Literal["fp32", "fp16", "bf16"]
    attention: Literal["auto", "sdpa", "xformers"]
    gradient_checkpointing: bool
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    prompt_dropout: Share
    snr_gamma: NonNegativeFloat
    offset_noise: Share
    checkpoint_every_steps: PositiveInt
    log_to: list[Literal["tensorboard", "wandb"]]

    @model_validator(mode="after")
    def _warmup_ends(self) -> Optimization:
        if self.warmup_steps >= self.max_train_steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be below max_train_steps ({self.max_train_steps})"
            )
        return self

    @model_validator(mode="after")
    def _micro_batches_are_equal(self) -> Optimization:
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"gradient_accumulation_steps ({self.gradient_accumulation_steps}) must divide "
                f"batch_size ({self.batch_size})"
            )
        return self


class Training(Optimization):
    """Training of an adapter, with validation grids on the way."""

    validate_every_steps: PositiveInt
    num_validation_images: Annotated[int, Field(ge=0, le=64)]


class SubjectTraining(Training):
    """Training on a subject, with prior preservation."""

    prior_loss_weight: NonNegativeFloat


class Prior(Section):
    """Class pictures drawn by the base."""

    num_class_images: Annotated[int, Field(ge=1, le=10_000)]


class Sampling(Section):
    """How pictures are generated."""

    scheduler: SchedulerName
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)]
    guidance_scale: Annotated[float, Field(ge=1, le=30)]
    num_samples: Annotated[int, Field(ge=1, le=64)]
    num_subject_samples: Annotated[int, Field(ge=1, le=64)]
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    strength: Annotated[float, Field(ge=-10, le=10)]


class Evaluation(Section):
    """Judges and the arithmetic's free choices."""

    judges: str
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    kid_subsets: PositiveInt
    kid_subset_size: Annotated[int, Field(ge=2)]
    num_confusion_classes: Annotated[int, Field(ge=2, le=150)]


class Angles(Section):
    """The paper's toy experiment: an autoencoder, and pictures from angles or magnitudes alone."""

    dataset: Name
    resolution_px: Annotated[int, Field(ge=16, le=256), AfterValidator(_multiple_of_8)]
    num_train_images: Annotated[int, Field(ge=1, le=100_000)]
    num_held_out_images: Annotated[int, Field(ge=1, le=100_000)]
    max_train_steps: Annotated[int, Field(ge=2, le=1_000_000)]
    batch_size: BatchSize
    learning_rate: PositiveFloat
    num_rows: Annotated[int, Field(ge=1, le=64)]


class Report(Section):
    """What the page shows."""

    num_rows: Annotated[int, Field(ge=1, le=64)]


class GateMetric(Section):
    """What one score of a candidate's pictures must show beside the promoted model's."""

    direction: Literal["higher", "lower"]
    min_gain: NonNegativeFloat | None
    max_loss: NonNegativeFloat | None


class Gate(Section):
    """When a retrained adapter takes the place of the promoted one."""

    adapter: AdapterName
    tasks: list[Name] | None
    metrics: Annotated[dict[ScoreName, GateMetric], Field(min_length=1)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    num_resamples: Annotated[int, Field(ge=100, le=1_000_000)]
    min_conditions: Annotated[int, Field(ge=2)]
    seed: NaturalInt

    @model_validator(mode="after")
    def _something_can_gain(self) -> Gate:
        if all(metric.min_gain is None for metric in self.metrics.values()):
            raise ValueError(
                "metrics: at least one needs a min_gain that is a number, or nothing is ever promoted; "
                "they are all null"
            )
        if self.tasks is not None and not self.tasks:
            raise ValueError("tasks must name a task, got []; null takes all that are trained")
        return self


class NetworkRecipe(Section):
    """How one miniature network is pretrained."""

    steps: PositiveInt
    batch_size: BatchSize
    learning_rate: PositiveFloat


class Pretraining(Section):
    """How the miniature base and its judges are made."""

    seed: NaturalInt
    pool_images: Annotated[int, Field(ge=64)]
    vae: NetworkRecipe
    refined_vae: NetworkRecipe
    denoiser: NetworkRecipe
    refined_denoiser: NetworkRecipe
    segmenter: NetworkRecipe
    part_segmenter: NetworkRecipe
    clip: NetworkRecipe
    extractor: NetworkRecipe


class Params(Section):
    """Every setting of a run."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    resolution_px: Annotated[int, Field(ge=8, le=4096), AfterValidator(_multiple_of_8)]
    datasets: dict[Name, Dataset]
    blip: Blip
    tasks: dict[Name, Task]
    subjects: dict[Name, Subject]
    conditions: Conditions
    shards: Shards
    encode: Encoding
    control_tasks: list[Name]
    subject_tasks: list[Name]
    adapters: list[AdapterName]
    transfers: dict[str, Transfer]
    base_tasks: list[Name]
    sample_shards: list[NaturalInt]
    base: Base
    adapter: AdapterSettings
    train: Training
    train_subject: SubjectTraining
    prior: Prior
    identifier: Annotated[str, Field(pattern=r"^\S+$")]
    instance_prompt: Annotated[str, AfterValidator(_with_fields("{identifier}", "{class}"))]
    class_prompt: Annotated[str, AfterValidator(_with_fields("{class}"))]
    fit_magnitude: Optimization
    sample: Sampling
    evaluate: Evaluation
    angles: Angles
    report: Report
    gate: Gate
    pretrain: Pretraining

    @model_validator(mode="after")
    def _names_agree(self) -> Params:
        faults = [
            *self._unknown(
                "tasks.{}.dataset", {k: v.dataset for k, v in self.tasks.items()}, set(self.datasets)
            ),
            *self._unknown(
                "subjects.{}.dataset", {k: v.dataset for k, v in self.subjects.items()}, set(self.datasets)
            ),
            *self._unknown("angles.{}", {"dataset": self.angles.dataset}, set(self.datasets)),
            *self._unknown("control_tasks[{}]", dict(enumerate(self.control_tasks)), set(self.tasks)),
            *self._unknown("subject_tasks[{}]", dict(enumerate(self.subject_tasks)), set(self.subjects)),
            *self._unknown("base_tasks[{}]", dict(enumerate(self.base_tasks)), {*self.tasks, *self.subjects}),
            *self._unknown(
                "transfers.{}.task", {k: v.task for k, v in self.transfers.items()}, set(self.tasks)
            ),
            *self._unknown(
                "transfers.{}.trained_on",
                {k: v.trained_on for k, v in self.transfers.items()},
                set(self.control_tasks),
            ),
            *self._unknown(
                "transfers.{}.adapter", {k: v.adapter for k, v in self.transfers.items()}, set(self.adapters)
            ),
        ]
        trained = {*self.control_tasks, *self.subject_tasks}
        faults += self._unknown("gate.{}", {"adapter": self.gate.adapter}, set(self.adapters))
        faults += self._unknown("gate.tasks[{}]", dict(enumerate(self.gate.tasks or [])), trained)
        for group, names in (("tasks", self.tasks), ("subjects", self.subjects)):
            faults += [
                f"{group}.{name}: is the name of another folder under runs/; choose another"
                for name in RESERVED_NAMES
                if name in names
            ]
        for key, transfer in self.transfers.items():
            if key != f"{transfer.task}-{transfer.adapter}":
                faults.append(
                    f"transfers.{key}: the key must be task-adapter, here {transfer.task}-{transfer.adapter}"
                )
            if transfer.task in self.control_tasks:
                faults.append(
                    f"transfers.{key}: {transfer.task} is in control_tasks and trains its own "
                    f"{transfer.adapter}; take it out of one of them"
                )
        for key, task in self.tasks.items():
            readers = READERS_WITH_MAPS.get(task.condition)
            dataset = self.datasets.get(task.dataset)
            if readers is None or task.condition in NETWORK_FINDS:
                continue
            if dataset and not gives_annotation(dataset.reader, task.condition):
                faults.append(
                    f"tasks.{key}: condition {task.condition} needs maps, which reader {dataset.reader} "
                    f"does not give; choose a data set with reader {' or '.join(readers) or '(none does)'}"
                )
        for key, subject in self.subjects.items():
            dataset = self.datasets.get(subject.dataset)
            if dataset and dataset.reader != "dreambooth":
                faults.append(
                    f"subjects.{key}: a subject's data set has reader dreambooth; {subject.dataset} has "
                    f"{dataset.reader}"
                )
        if both := set(self.tasks) & set(self.subjects):
            faults.append(f"subjects: {', '.join(sorted(both))} stands in tasks too; rename one of them")
        if self.sample_shards != list(range(len(self.sample_shards))) or not self.sample_shards:
            faults.append(
                f"sample_shards: must count up from 0, for example [0, 1]; it is {self.sample_shards}"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def gated_tasks(self) -> list[str]:
        """The tasks whose adapter the gate judges."""
        return self.gate.tasks or [*self.control_tasks, *self.subject_tasks]

    def condition_settings(self, task: Task) -> dict[str, Any]:
        """Return what shapes a task's condition: nothing of a network where the data set has its own maps."""
        reader = self.datasets[task.dataset].reader
        if task.condition in NETWORK_FINDS and gives_annotation(reader, task.condition):
            return {}
        settings: dict[str, Any] = getattr(self.conditions, task.condition).model_dump()
        return settings

    @staticmethod
    def _unknown(pattern: str, values: dict[Any, str], known: set[str]) -> list[str]:
        return [
            f"{pattern.format(key)}: must be one of {', '.join(sorted(known)) or '(none is defined)'}; "
            f"it is {value!r}"
            for key, value in values.items()
            if value not in known
        ]


def gives_annotation(reader: str, condition: str) -> bool:
    """Return whether data sets with this reader bring what the condition is made from."""
    return reader in READERS_WITH_MAPS.get(condition, ())


def parse_params(values: Any, source: str = "params.yaml") -> Params:
    """Return the settings in ``values``.

    Raises:
        ParamsError: it lists every unknown key, missing key, wrong type and value out of range.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = [line for fault in error.errors() for line in _describe(fault)]
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
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is no valid YAML: {error}; mend it or run `git checkout {path}`") from None
    return parse_params(values, str(path))


def _describe(fault: Any) -> list[str]:
    """Return pydantic's fault as lines of key, rule and value."""
    key = ".".join(str(part) for part in fault["loc"])
    value = fault.get("input")
    match fault["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(fault["loc"][-1]), _known_keys(fault["loc"][:-1]), n=1)
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
            return [f"{key}: YAML reads {value!r} as text; write {yaml_number(float(value))}"]
        case _:
            rule = fault["msg"][0].lower() + fault["msg"][1:]
            return [f"{key}: {rule}; it is {value!r}"]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def yaml_number(value: float) -> str:
    """Return a number as YAML 1.1 reads one: with a point before the exponent."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the names of the settings in the section at ``location``."""
    section: Any = Params
    for part in location:
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            break
        field = section.model_fields.get(str(part))
        section = field.annotation if field else None
    if isinstance(section, type) and issubclass(section, BaseModel):
        return list(section.model_fields)
    return []
