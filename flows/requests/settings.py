"""Turn a request into params.yaml: a profile's settings with the request's training as all that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.requests.datasets import DOWNLOADS
from flows.requests.kinds import CommonRequest
from oft.params import Params, parse_params
from oft.profiles import compose_profile
from oft.settings.training import share_training
from oft.storage import atomic_file, dump_yaml

# Parameters that are settings of the training, by the same name.
TRAINING = (
    "max_train_steps",
    "learning_rate",
    "scale_lr",
    "lr_num_cycles",
    "lr_power",
)
# What a profile may run and a request does not.
NOTHING: dict[str, Any] = {
    "tasks": {},
    "subjects": {},
    "styles": {},
    "control_tasks": [],
    "subject_tasks": [],
    "style_tasks": [],
    "control_adapters": [],
    "subject_adapters": [],
    "style_adapters": [],
    "transfers": {},
    "drawings": {},
    "base_tasks": [],
    "sample_shards": [0],
}


def make_settings(request: CommonRequest, conf: Path, dataset: str = str(DOWNLOADS)) -> dict[str, Any]:
    """Return the profile's settings with this request's task as the only thing that runs.

    Args:
        conf: the folder of profiles.
        dataset: the data set's folder, as stages find it.

    Raises:
        ParamsError: the profile breaks a rule together with the request.
    """
    values = compose_profile(conf, request.profile)
    values |= NOTHING | request.settings(dataset)
    values["seed"] = request.seed
    values["angles"]["dataset"] = next(iter(values["datasets"]))
    values["gate"] |= {"adapter": request.adapter, "tasks": None}
    if request.resolution_px is not None:
        values["resolution_px"] = request.resolution_px
    adapter = values["adapters"][request.adapter]
    if request.num_blocks is not None:
        adapter |= {"num_blocks": request.num_blocks, "block_size": None}
    text_encoder = request.train_text_encoder
    if text_encoder is not None and text_encoder != adapter.get("train_text_encoder", False):
        adapter["train_text_encoder"] = text_encoder
    section = request.section
    if request.learning_rate is not None:
        adapter.get("learning_rates", {}).pop(section, None)  # it would hold in place of the request's
    values[section] |= _training_settings(request)
    for name, changes in request.changes.items():
        values[name] |= {key: value for key, value in changes.items() if value is not None}
    if request.lr_warmup_steps is None:
        # A short training has no room for the profile's warm-up.
        resolved = share_training(values)[section]
        values[section]["warmup_steps"] = min(resolved["warmup_steps"], resolved["max_train_steps"] // 10)
    parse_params(values, "the request with its profile")
    return values


def _training_settings(request: CommonRequest) -> dict[str, Any]:
    """Return what the request says of the training, diffusers' names of it under the pipeline's."""
    named = {name: getattr(request, name) for name in TRAINING}
    settings = {name: value for name, value in named.items() if value is not None}
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


def write_settings(values: dict[str, Any], target: Path) -> Params:
    """Write settings as params.yaml and return them parsed."""
    with atomic_file(target) as partial:
        partial.write_text(dump_yaml(values), encoding="utf-8")
    return parse_params(values, str(target))
