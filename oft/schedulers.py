"""Samplers by name: a new one is one entry of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KARRAS, ETA = "karras_sigmas", "eta"

# What settings of `sample` that not every sampler takes say where they ask for nothing.
OPTIONAL_SETTINGS: dict[str, Any] = {KARRAS: None, ETA: 0.0}


@dataclass(frozen=True)
class Sampler:
    """A sampler as params.yaml, help texts and docs see it.

    Attributes:
        title: what A1111 and k-diffusion call it, or its authors.
        class_name: diffusers' class.
        options: what the class takes beside the base's noise schedule.
        takes: those of `OPTIONAL_SETTINGS` that it has a use for.
        is_stochastic: it adds noise on the way; DDIM does with `eta` alone.
        unet_calls: how many a step costs.
    """

    title: str
    class_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    takes: tuple[str, ...] = (KARRAS,)
    is_stochastic: bool = False
    unet_calls: int = 1


SCHEDULERS: dict[str, Sampler] = {
    "ddim": Sampler("DDIM", "DDIMScheduler", {"clip_sample": False}, takes=(ETA,)),
    "plms": Sampler("PLMS", "PNDMScheduler", {"skip_prk_steps": True}, takes=()),
    "dpmsolver++": Sampler(
        "DPM++ 2M Karras",
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    ),
    # k-diffusion's, ported as DPMSolverSDEScheduler, needs torchsde, whose Brownian tree lets the two halves
    # of a step share their noise. This is the second-order singlestep solver of the same equation with noise
    # of its own for each call; a step of k-diffusion's is two of it.
    "dpmsolver_sde": Sampler(
        "DPM++ SDE",
        "DPMSolverSinglestepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "lower_order_final": True},
        is_stochastic=True,
    ),
    "dpm2": Sampler("DPM2", "KDPM2DiscreteScheduler", unet_calls=2),
    "dpm2_a": Sampler("DPM2 a", "KDPM2AncestralDiscreteScheduler", is_stochastic=True, unet_calls=2),
    "unipc": Sampler("UniPC", "UniPCMultistepScheduler"),
    "euler": Sampler("Euler", "EulerDiscreteScheduler"),
    "euler_a": Sampler("Euler a", "EulerAncestralDiscreteScheduler", takes=(), is_stochastic=True),
    "heun": Sampler("Heun", "HeunDiscreteScheduler", unet_calls=2),
    "lms": Sampler("LMS", "LMSDiscreteScheduler"),
}
"""Samplers by their names in params."""


def samplers_taking(setting: str) -> list[str]:
    """Return the names of the samplers that have a use for one of `OPTIONAL_SETTINGS`."""
    return [name for name, sampler in SCHEDULERS.items() if setting in sampler.takes]


def make_scheduler(name: str, config: Any, karras_sigmas: bool | None = None) -> Any:
    """Return diffusers' sampler of that name for a base's noise schedule.

    Args:
        karras_sigmas: whether steps lie as Karras et al. 2022, eq. 5, have them; None for the sampler's own.
    """
    import diffusers

    sampler = SCHEDULERS[name]
    chosen = {} if karras_sigmas is None else {"use_karras_sigmas": karras_sigmas}
    return getattr(diffusers, sampler.class_name).from_config(config, **{**sampler.options, **chosen})
