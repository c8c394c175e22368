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
        for index, picture in enumerate(pictures):
            shutil.copyfile(picture, subject / f"{index:02d}{picture.suffix.lower()}")
        (partial / "dataset" / name).write_text(text, encoding="utf-8")
    return folder


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
    if request.num_blocks is not None:
        values["adapters"][request.adapter] |= {"num_blocks": request.num_blocks, "block_size": None}
    training = values["train_subject"]
    for name in ("max_train_steps", "learning_rate", "prior_loss_weight"):
        if (value := getattr(request, name)) is not None:
            training[name] = value
    # A short training has no room for the profile's warm-up.
    resolved = share_training(values)["train_subject"]
    training["warmup_steps"] = min(resolved["warmup_steps"], resolved["max_train_steps"] // 10)
    parse_params(values, "the request with its profile")
    return values


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
