"""Turn a request into the pipeline's inputs: one data set in google/dreambooth's layout, and params.yaml."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.requests.prompts import subject_file
from flows.requests.request import TrainingRequest
from oft.params import Params, parse_params
from oft.profiles import compose_profile
from oft.settings.training import share_training
from oft.storage import atomic_file, atomic_folder, dump_yaml

DATASET = "requested"
SUBJECT = "instance"
TASK = f"subject_{DATASET}"
SECTION = "train_subject"
# Parameters that are settings of the training, by the same name.
TRAINING = (
    "max_train_steps",
    "learning_rate",
    "scale_lr",
    "lr_num_cycles",
    "lr_power",
    "prior_loss_weight",
)
# Ignored by git and DVC; stages find it below the clone's root.
DOWNLOADS = Path(".downloads")


def write_dataset(request: TrainingRequest, pictures: Sequence[Path], root: Path) -> Path:
    """Write the request's data set below ``root`` and return its folder, relative to it.

    The folder is named by the hash of all it holds: DVC knows a folder outside its outs by name alone, so
    equal requests have equal settings and others never take their results.
    """
    name, text = subject_file(SUBJECT, request.subject.class_name, request.prompts)
    digest = hashlib.sha256(text.encode())
    for picture in pictures:
        digest.update(hashlib.sha256(picture.read_bytes()).digest())
    folder = DOWNLOADS / digest.hexdigest()
    with atomic_folder(root / folder) as partial:
        subject = partial / "dataset" / SUBJECT
        subject.mkdir(parents=True)
        _copy_numbered(pictures, subject)
        (partial / "dataset" / name).write_text(text, encoding="utf-8")
    return folder


def write_pictures(pictures: Sequence[Path], root: Path) -> Path:
    """Write pictures to a folder below ``root``, named by what it holds, and return it, relative to it."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(hashlib.sha256(picture.read_bytes()).digest())
    folder = DOWNLOADS / digest.hexdigest()
    with atomic_folder(root / folder) as partial:
        _copy_numbered(pictures, partial)
    return folder


def _copy_numbered(pictures: Sequence[Path], target: Path) -> None:
    for index, picture in enumerate(pictures):
        shutil.copyfile(picture, target / f"{index:03d}{picture.suffix.lower()}")


def make_settings(request: TrainingRequest, conf: Path, dataset: str = str(DOWNLOADS)) -> dict[str, Any]:
    """Return the profile's settings with this request's subject as the only thing that runs.

    Args:
        conf: the folder of profiles.
        dataset: the data set's folder, as stages find it.

    Raises:
        ParamsError: the profile breaks a rule together with the request.
    """
    values = compose_profile(conf, request.profile)
    values |= _subject_settings(request, dataset)
    values["angles"]["dataset"] = DATASET
    values["gate"] |= {"adapter": request.adapter, "tasks": None}
    values["sample"]["num_subject_samples"] = request.num_gallery_images
    if request.resolution_px is not None:
        values["resolution_px"] = request.resolution_px
    if request.num_class_images is not None:
        values["prior"]["num_class_images"] = request.num_class_images
    adapter = values["adapters"][request.adapter]
    if request.num_blocks is not None:
        adapter |= {"num_blocks": request.num_blocks, "block_size": None}
    text_encoder = request.train_text_encoder
    if text_encoder is not None and text_encoder != adapter.get("train_text_encoder", False):
        adapter["train_text_encoder"] = text_encoder
    if request.learning_rate is not None:
        adapter.get("learning_rates", {}).pop(SECTION, None)  # it would hold in place of the request's
    values[SECTION] |= _training_settings(request)
    if request.lr_warmup_steps is None:
        # A short training has no room for the profile's warm-up.
        resolved = share_training(values)[SECTION]
        values[SECTION]["warmup_steps"] = min(resolved["warmup_steps"], resolved["max_train_steps"] // 10)
    parse_params(values, "the request with its profile")
    return values


def _training_settings(request: TrainingRequest) -> dict[str, Any]:
    """Return what the request says of the training, diffusers' names of it under the pipeline's."""
    settings = {name: getattr(request, name) for name in TRAINING if getattr(request, name) is not None}
    if request.lr_warmup_steps is not None:
        settings["warmup_steps"] = request.lr_warmup_steps
    match request.lr_scheduler:
        case None:
            pass
        case "constant":  # diffusers' has no warm-up
            settings |= {"schedule": "constant", "warmup_steps": 0}
        case name:
            settings["schedule"] = name.removesuffix("_with_warmup")
    return settings


def _subject_settings(request: TrainingRequest, dataset: str) -> dict[str, Any]:
    """Return the settings by which this request's subject is all that runs."""
    subject = request.subject
    return {
        "seed": request.seed,
        "datasets": {
            DATASET: {
                "reader": "dreambooth",
                "num_train_images": 0,
                "num_val_images": 0,
                "acquire": {"source": dataset, "mirror": None, "accept_licence": False},
                "prepare": {"fit": "crop", "flip": False},
                "captions": {"source": "own", "rule": "all", "template": "{caption}"},
            }
        },
        "tasks": {},
        "subjects": {TASK: {"dataset": DATASET, "subject": SUBJECT}},
        "styles": {},
        "control_tasks": [],
        "subject_tasks": [TASK],
        "style_tasks": [],
        "control_adapters": [],
        "subject_adapters": [request.adapter],
        "style_adapters": [],
        "transfers": {},
        "base_tasks": [],
        "sample_shards": [0],
        "identifier": subject.identifier,
        "instance_prompt": subject.instance_prompt,
        "class_prompt": subject.class_prompt,
    }


def write_settings(values: dict[str, Any], target: Path) -> Params:
    """Write settings as params.yaml and return them parsed."""
    with atomic_file(target) as partial:
        partial.write_text(dump_yaml(values), encoding="utf-8")
    return parse_params(values, str(target))
