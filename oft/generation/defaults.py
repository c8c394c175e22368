"""What holds where nothing was given: the run's base, the settings of params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from oft.errors import ParamsError
from oft.schedulers import OPTIONAL_SETTINGS, SCHEDULERS
from oft.settings.evaluation import Sampling

if TYPE_CHECKING:
    from oft.params import Params

PLACED_BASE = Path("data/models/base")
MAX_BATCH = 8
# Outside a repository: the usual settings of Stable Diffusion's pages.
ELSEWHERE: dict[str, Any] = {
    "scheduler": "dpmsolver++",
    "karras_sigmas": None,
    "eta": 0.0,
    "num_inference_steps": 25,
    "guidance_scale": 7.5,
    "negative_prompt": "",
    "guess_mode": False,
    "num_samples": 1,
    "num_subject_samples": 1,
    "batch_size": MAX_BATCH,
    "strength": 1.0,
}


def sampling_settings(params: Params | None, given: Mapping[str, Any]) -> Sampling:
    """Return settings of sampling: what was given, else those of params.yaml.

    Args:
        params: None outside a repository.
        given: by name; None is not given.

    Raises:
        ParamsError: one is out of range.
    """
    values = ELSEWHERE if params is None else params.sample.model_dump()
    chosen = {name: value for name, value in given.items() if value is not None}
    if "scheduler" in chosen and chosen["scheduler"] != values["scheduler"]:
        values = values | OPTIONAL_SETTINGS  # those in params.yaml are of its own sampler
    try:
        return Sampling.model_validate(values | chosen, context={"schedulers": list(SCHEDULERS)})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ParamsError(f"these settings break a rule: {'; '.join(faults)}") from None
