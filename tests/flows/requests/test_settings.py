from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flows.requests import settings as settings_module
from flows.requests.kinds import SubjectRequest
from flows.requests.kinds.common import DATASET
from flows.requests.settings import make_settings, write_settings
from oft.errors import ParamsError
from oft.params import parse_params
from oft.profiles import compose_profile, list_profiles
from oft.storage import load_yaml
from tests.conftest import ROOT

CONF = ROOT / "conf"


composed = cache(compose_profile)


@pytest.fixture(autouse=True)
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles do not change while these tests run, and composing one takes seconds."""
    monkeypatch.setattr(settings_module, "compose_profile", lambda *name: deepcopy(composed(*name)))


TASK = SubjectRequest.task


def request(**values: Any) -> SubjectRequest:
    return SubjectRequest.model_validate(
        {
            "instance_images": "x",
            "instance_prompt": "a photo of sks dog",
            "class_prompt": "a photo of dog",
            "output": "y",
            **values,
        }
    )


@pytest.mark.parametrize("profile", list_profiles(CONF))
def test_every_profile_takes_a_request(profile: str, tmp_path: Path) -> None:
    asked = request(profile=profile, adapter="coft", max_train_steps=2, num_blocks=2, seed=5)
    values = make_settings(asked, CONF, ".downloads/x")
    params = write_settings(values, tmp_path / "params.yaml")
    assert load_yaml((tmp_path / "params.yaml").read_text()) == values
    assert (params.subject_tasks, params.subject_adapters, params.control_tasks, params.seed) == (
        [TASK],
        ["coft"],
        [],
        5,
    )
    assert params.adapters["coft"].model_dump().items() >= {"num_blocks": 2, "block_size": None}.items()
    assert params.train_subject.warmup_steps < params.train_subject.max_train_steps == 2
    assert params.datasets[DATASET].acquire.source == ".downloads/x"


TRAINING = {
    "scale_lr": True,
    "lr_num_cycles": 3,
    "lr_power": 2.0,
    "learning_rate": 0.01,
    "max_train_steps": 40,
}


@pytest.mark.parametrize(
    ("asked", "schedule", "warmup_steps"),
    [
        ({"lr_scheduler": "constant"}, "constant", 0),
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 7}, "constant", 7),
        ({"lr_scheduler": "cosine_with_restarts", "lr_warmup_steps": 30}, "cosine_with_restarts", 30),
        ({"lr_scheduler": "polynomial"}, "polynomial", 4),
        ({"lr_warmup_steps": 0}, "cosine", 0),
        ({}, "cosine", 4),
    ],
)
def test_diffusers_names_of_the_schedule_stand_in_the_params_that_run(
    asked: dict[str, Any], schedule: str, warmup_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = composed(CONF, "miniature")
    values["adapters"]["lora"]["learning_rates"] = {"train_subject": 0.5, "train": 0.25}
    monkeypatch.setattr(settings_module, "compose_profile", lambda *_: deepcopy(values))
    made = make_settings(request(adapter="lora", **TRAINING, **asked), CONF)
    params = parse_params(made)
    training = params.training_of(TASK, "lora")
    assert (training.schedule, training.warmup_steps) == (schedule, warmup_steps)
    assert (training.scale_lr, training.lr_num_cycles, training.lr_power) == (True, 3, 2.0)
    assert (training.learning_rate, training.max_train_steps) == (0.01, 40)
    # Of the subject's training alone.
    assert params.adapters["lora"].learning_rates == {"train": 0.25}
    assert (params.fit_magnitude.schedule, params.fit_magnitude.scale_lr) == ("cosine", False)


@pytest.mark.parametrize("adapter", ["lora", "dreambooth"])
def test_the_text_encoder_is_trained_where_the_request_says_so(adapter: str) -> None:
    for asked in (True, False, None):
        values = make_settings(request(adapter=adapter, train_text_encoder=asked), CONF)
        params = parse_params(values)
        assert params.adapters[adapter].train_text_encoder is bool(asked)  # type: ignore[attr-defined]
        assert (params.subject_adapters, params.gate.adapter) == ([adapter], adapter)


def test_omitted_parameters_come_from_the_profile() -> None:
    asked, plain = request(prior_loss_weight=0.0), request()
    assert make_settings(asked, CONF)["train_subject"]["prior_loss_weight"] == 0.0
    assert make_settings(plain, CONF)["train_subject"]["prior_loss_weight"] == 0.1
    assert make_settings(plain, CONF)["prior"]["num_class_images"] == 32
    with pytest.raises(ParamsError, match="has no profile 'nowhere'"):
        make_settings(request(profile="nowhere"), CONF)
