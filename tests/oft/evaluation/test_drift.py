"""Drift: none where nothing changed, some where the weights did, and the base's pictures come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from oft.adapters.protocol import Adapter
from oft.errors import ParamsError
from oft.evaluation.drift import Draw, measure_drift
from oft.evaluation.judges import Judges
from oft.evaluation.measure import Pictures
from oft.models.adapted import init_adapter
from oft.models.base import Base, load_base
from oft.params import Params, parse_params
from oft.sampling import draw_prompts
from oft.seeding import generator_for
from tests.adapters import move
from tests.conftest import ROOT, SIZE_PX


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


@pytest.fixture
def judges() -> Judges:
    return Judges(ROOT / "data" / "models" / "miniature" / "judges", torch.device("cpu"), 8)


PROMPTS = ["a red circle on a blue background", "a bald man"]


@pytest.fixture
def draw(base: Base, params: Params) -> Draw:
    sampling = params.sample.model_copy(update={"num_inference_steps": 2})

    def drawn(adapter: Adapter | None, *, another_noise: bool = False) -> Pictures:
        return draw_prompts(base, adapter, PROMPTS, sampling, SIZE_PX, seed=int(another_noise))

    return drawn


def put_on(base: Base, params: Params, name: str, moved_by: float) -> Adapter:
    adapter = init_adapter(base, params.adapters[name], with_condition=True, generator=generator_for(0))
    move(adapter, moved_by)
    return adapter


@pytest.mark.parametrize("name", ["oft", "hint", "controlnet"])
def test_an_adapter_that_changes_nothing_does_not_drift(
    base: Base, judges: Judges, draw: Draw, params: Params, name: str
) -> None:
    # Shown no image, neither an untrained adapter nor one that only reads images changes a thing.
    moved_by = 0.0 if name == "oft" else 0.1
    found = measure_drift(PROMPTS, draw, judges, lambda: put_on(base, params, name, moved_by), seed=0)
    assert abs(found["drift"]) < 1e-5 and abs(found["drift_prompt_similarity"]) < 1e-5


def test_an_adapter_that_turns_weights_drifts_and_leaves_the_base_as_it_was(
    base: Base, judges: Judges, draw: Draw, params: Params
) -> None:
    before = draw(None)
    found = measure_drift(PROMPTS, draw, judges, lambda: put_on(base, params, "oft", 0.1), seed=0)
    assert found["drift"] > 1e-3
    assert found["drift_low"] <= found["drift"] <= found["drift_high"]
    np.testing.assert_array_equal(draw(None), before)


def test_the_base_is_compared_with_itself_under_another_noise(base: Base, judges: Judges, draw: Draw) -> None:
    assert measure_drift(PROMPTS, draw, judges, None, seed=0)["drift"] > 1e-3


def test_one_prompt_has_no_interval(values: dict[str, object]) -> None:
    values["evaluate"]["drift_prompts"] = ["a house"]  # type: ignore[index]
    with pytest.raises(ParamsError, match="must be none or two and more"):
        parse_params(values)


def test_without_judges_nothing_is_drawn(tmp_path: Path) -> None:
    def refuse(adapter: Adapter | None, *, another_noise: bool = False) -> Pictures:
        raise AssertionError("drawn for nobody")

    assert measure_drift(PROMPTS, refuse, Judges(tmp_path, torch.device("cpu"), 8), None, seed=0) == {}


def test_each_judge_says_its_own(judges: Judges, draw: Draw, tmp_path: Path) -> None:
    whole = measure_drift(PROMPTS, draw, judges, None, seed=0)
    (tmp_path / "clip").symlink_to(judges.folder / "clip")
    part = measure_drift(PROMPTS, draw, Judges(tmp_path, torch.device("cpu"), 8), None, seed=0)
    names = {name for name in whole if name.startswith("drift_prompt_similarity")}
    assert part.keys() == names != whole.keys()
    assert part["drift_prompt_similarity"] == whole["drift_prompt_similarity"]
