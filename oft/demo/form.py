"""What somebody asks for on the page, checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oft.errors import ParamsError
from oft.generation.defaults import MAX_BATCH, sampling_settings

if TYPE_CHECKING:
    from oft.params import Params
    from oft.settings.evaluation import Sampling

MAX_NUMBER = 16
MAX_PROMPT_CHARS = 2000
MAX_SEED = 2**53 - 1
"""A browser knows no larger number exactly; `oft generate` takes more."""
STRENGTH_RANGE = (0.0, 2.0)


@dataclass(frozen=True)
class Form:
    """One press of the button.

    Attributes:
        labels: of the columns, see `oft.demo.catalogue.Catalogue`.
        strength: of every adapter, 0 none, 1 as trained.
        seed: of the first picture of a column; the next has the next number.
        number: pictures of each column.
        settings: of sampling, pictures a batch as `oft generate` has them.
    """

    prompt: str
    labels: Sequence[str]
    strength: float
    seed: int
    number: int
    settings: Sampling


def read_form(
    params: Params,
    *,
    prompt: Any,
    negative_prompt: Any,
    labels: Sequence[str],
    strength: Any,
    seed: Any,
    number: Any,
    steps: Any,
    guidance: Any,
) -> Form:
    """Return what the fields of the page ask for; a browser, or who pretends to be one, can send anything.

    Raises:
        ParamsError: one is missing or out of range; it is named.
    """
    number = _whole("number", number, 1, MAX_NUMBER)
    low, high = STRENGTH_RANGE
    if not (_is_number(strength) and low <= strength <= high):
        raise ParamsError(f"strength ({strength}): must be a number from {low:g} (none) to {high:g}")
    if not _is_number(guidance):
        raise ParamsError(f"guidance ({guidance}): must be a number from 1 (without) to 30")
    given = {
        "negative_prompt": _line("negative prompt", negative_prompt or ""),
        "num_inference_steps": _whole("steps", steps, 1, 1000),
        "guidance_scale": float(guidance),
        "batch_size": min(number, MAX_BATCH),
    }
    text = _line("prompt", prompt or "")
    if not text:
        raise ParamsError("prompt: there is nothing to draw; write what the picture shows")
    return Form(
        prompt=text,
        labels=labels,
        strength=float(strength),
        seed=_whole("seed", seed, 0, MAX_SEED - MAX_NUMBER),
        number=number,
        settings=sampling_settings(params, given),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number in its range; browsers send 3 as 3.0 too."""
    if not (_is_number(value) and low <= value <= high and value == int(value)):
        raise ParamsError(f"{name} ({value}): must be a whole number from {low} to {high}")
    return int(value)


def _line(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_PROMPT_CHARS:
        raise ParamsError(f"{name}: must be text of at most {MAX_PROMPT_CHARS} characters; shorten it")
    return " ".join(value.split())
