"""What holds where nothing was given."""

from __future__ import annotations

import pytest

from oft.errors import ParamsError
from oft.generation.defaults import sampling_settings
from oft.params import Params


def test_what_is_not_given_is_as_in_params(params: Params) -> None:
    assert sampling_settings(params, {"negative_prompt": None}) == params.sample
    changed = sampling_settings(params, {"num_inference_steps": 7})
    assert changed == params.sample.model_copy(update={"num_inference_steps": 7})


def test_settings_of_one_sampler_are_not_those_of_another(params: Params) -> None:
    own = params.model_copy(update={"sample": params.sample.model_copy(update={"karras_sigmas": False})})
    assert sampling_settings(own, {"scheduler": own.sample.scheduler}).karras_sigmas is False
    assert sampling_settings(own, {"scheduler": "euler_a"}).karras_sigmas is None


@pytest.mark.parametrize(
    "given", [{"scheduler": "euler_b"}, {"num_inference_steps": 0}, {"guidance_scale": 31.0}]
)
def test_what_is_out_of_range_is_refused_by_name(params: Params, given: dict[str, object]) -> None:
    for settings in (params, None):
        with pytest.raises(ParamsError, match=next(iter(given))):
            sampling_settings(settings, given)
