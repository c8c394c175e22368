from __future__ import annotations

from typing import Any

import pytest

from oft.errors import ParamsError
from oft.params import parse_params
from oft.schedulers import SCHEDULERS, make_scheduler


def test_a_new_sampler_is_one_entry(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DDPMScheduler, EulerAncestralDiscreteScheduler

    values["sample"]["scheduler"] = "euler_a"
    with pytest.raises(ParamsError, match=r"sample\.scheduler: must be one of .*euler"):
        parse_params(values)
    monkeypatch.setitem(SCHEDULERS, "euler_a", ("EulerAncestralDiscreteScheduler", {}))
    assert parse_params(values).sample.scheduler == "euler_a"
    made = make_scheduler("euler_a", DDPMScheduler(num_train_timesteps=500).config)
    assert isinstance(made, EulerAncestralDiscreteScheduler)
    assert made.config.num_train_timesteps == 500
