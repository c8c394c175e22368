"""Samplers: the table says what diffusers' classes take, and settings refuse the rest."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDPMScheduler, LCMScheduler

from oft.errors import ParamsError
from oft.params import parse_params
from oft.schedulers import SCHEDULERS, Sampler, make_scheduler
from tests.conftest import ROOT

NOISE_SCHEDULE = DDPMScheduler(num_train_timesteps=500).config


def test_a_new_sampler_is_one_entry(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    values["sample"]["scheduler"] = "lcm"
    with pytest.raises(ParamsError, match=r"sample\.scheduler: must be one of .*euler"):
        parse_params(values)
    monkeypatch.setitem(SCHEDULERS, "lcm", Sampler("LCM", "LCMScheduler", takes=(), is_stochastic=True))
    assert parse_params(values).sample.scheduler == "lcm"
    made = make_scheduler("lcm", NOISE_SCHEDULE)
    assert isinstance(made, LCMScheduler)
    assert made.config.num_train_timesteps == 500


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_table_says_what_the_class_takes(name: str) -> None:
    sampler = SCHEDULERS[name]
    made = getattr(diffusers, sampler.class_name)
    options = inspect.signature(made.__init__).parameters
    assert ("karras_sigmas" in sampler.takes) == ("use_karras_sigmas" in options)
    assert ("eta" in sampler.takes) == ("eta" in inspect.signature(made.step).parameters)
    assert set(sampler.options) <= set(options)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_table_says_whether_noise_is_added_and_how_often_the_unet_is_called(name: str) -> None:
    """A stochastic sampler goes on otherwise with another generator, and no other does."""

    def integrate(seed: int) -> torch.Tensor:
        scheduler = make_scheduler(name, NOISE_SCHEDULE)
        scheduler.set_timesteps(6)
        takes_generator = "generator" in inspect.signature(scheduler.step).parameters
        noise = {"generator": torch.Generator().manual_seed(seed)} if takes_generator else {}
        sample = torch.ones(1, 1, 4, 4)
        for timestep in scheduler.timesteps:
            predicted = 0.1 * scheduler.scale_model_input(sample, timestep)
            sample = scheduler.step(predicted, timestep, sample, **noise).prev_sample
        return sample

    assert torch.equal(integrate(0), integrate(0))
    assert torch.equal(integrate(0), integrate(1)) != SCHEDULERS[name].is_stochastic
    scheduler = make_scheduler(name, NOISE_SCHEDULE)
    scheduler.set_timesteps(10)
    assert round(len(scheduler.timesteps) / 10) == SCHEDULERS[name].unet_calls


@pytest.mark.parametrize("name", [name for name, one in SCHEDULERS.items() if "karras_sigmas" in one.takes])
def test_karras_sigmas_lie_on_karras_curve(name: str) -> None:
    """Karras et al. 2022, eq. 5 with rho = 7: the seventh roots of the noise levels are equally far apart."""

    def levels(karras_sigmas: bool) -> torch.Tensor:
        scheduler = make_scheduler(name, NOISE_SCHEDULE, karras_sigmas)
        scheduler.set_timesteps(8)
        return torch.unique(scheduler.sigmas)[1:] if SCHEDULERS[name].unet_calls == 1 else scheduler.sigmas

    if SCHEDULERS[name].unet_calls == 1:
        steps = levels(karras_sigmas=True).double().pow(1 / 7).diff()
        torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=1e-3, atol=1e-4)
    assert not torch.equal(levels(karras_sigmas=True), levels(karras_sigmas=False))


@pytest.mark.parametrize(
    ("name", "setting", "value", "said"),
    [
        (
            "euler_a",
            "karras_sigmas",
            True,
            "sample.karras_sigmas: must be null with euler_a, which does not take it; set it so, "
            "or choose one of dpmsolver++, dpmsolver_sde, dpm2, dpm2_a, unipc, euler, heun, lms; it is True",
        ),
        ("plms", "karras_sigmas", False, "sample.karras_sigmas: must be null with plms"),
        (
            "heun",
            "eta",
            0.5,
            "sample.eta: must be 0.0 with heun, which does not take it; set it so, or choose one "
            "of ddim; it is 0.5",
        ),
    ],
)
def test_what_a_sampler_does_not_take_is_refused(
    values: dict[str, Any], name: str, setting: str, value: object, said: str
) -> None:
    values["sample"] |= {"scheduler": name, setting: value}
    with pytest.raises(ParamsError) as raised:
        parse_params(values)
    assert said in str(raised.value)


def test_every_sampler_is_documented() -> None:
    page = (ROOT / "docs" / "samplers.md").read_text(encoding="utf-8")
    for name, sampler in SCHEDULERS.items():
        noise = "yes" if sampler.is_stochastic else "with `eta`" if "eta" in sampler.takes else ""
        assert f"| `{name}` | {sampler.title} | `{sampler.class_name}`" in page
        assert f"| {noise} | {sampler.unet_calls} |".replace("|  |", "| |") in next(
            line for line in page.splitlines() if line.startswith(f"| `{name}` ")
        )
