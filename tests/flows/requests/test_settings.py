from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.requests.request import TrainingRequest
from flows.requests.settings import DATASET, TASK, make_settings, write_dataset, write_settings
from oft.acquire.folder import count_layout
from oft.errors import ParamsError
from oft.prepare.subjects import subject_class, subject_prompts
from oft.profiles import list_profiles
from oft.storage import load_yaml
from tests.conftest import ROOT

from .conftest import picture

CONF = ROOT / "conf"


def request(**values: Any) -> TrainingRequest:
    return TrainingRequest.model_validate(
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


def test_omitted_parameters_come_from_the_profile() -> None:
    asked, plain = request(prior_loss_weight=0.0), request()
    assert make_settings(asked, CONF)["train_subject"]["prior_loss_weight"] == 0.0
    assert make_settings(plain, CONF)["train_subject"]["prior_loss_weight"] == 0.1
    assert make_settings(plain, CONF)["prior"]["num_class_images"] == 32
    with pytest.raises(ParamsError, match="has no profile 'nowhere'"):
        make_settings(request(profile="nowhere"), CONF)


def test_a_data_set_is_named_by_what_it_holds_and_read_by_the_pipeline(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.PNG" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(number))
    folder = write_dataset(request(), paths, tmp_path / "a")
    root = tmp_path / "a" / folder
    assert count_layout("dreambooth", root)["train"]["kept"] == 3
    assert subject_class(root, "instance") == "dog"
    prompts = subject_prompts(root, "instance", "sks")
    assert prompts["p00"] == "a photo of sks dog" and len(prompts) == 6
    assert write_dataset(request(), paths, tmp_path / "b") == folder
    assert write_dataset(request(gallery_prompts=["a sks dog"]), paths, tmp_path / "b") != folder
    assert write_dataset(request(), [*paths[1:], paths[1]], tmp_path / "b") != folder
