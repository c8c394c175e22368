"""Each arm's learning rate: the best of one grid over equations and a network that are reported nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from experiments.cdr.adaptation import adapt
from experiments.cdr.equation import Equation
from experiments.cdr.folder import RunFolder, one_thread
from experiments.cdr.protocol import ARMS, PRETRAINED, VALIDATION, VALIDATION_SEED, Protocol, adapter_settings
from oft.adapters.registry import BASE_ALONE
from oft.errors import UserError
from oft.progress import progress
from oft.storage import read_json, write_json

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
RATES_FILE = Path(__file__).with_name("learning_rates.json")
TRAINED_ARMS = tuple(arm for arm in ARMS if arm != BASE_ALONE)


def sweep(
    out: Path,
    *,
    protocol: Protocol | None = None,
    rates: Sequence[float] = RATES,
    arms: Sequence[str] = TRAINED_ARMS,
    equations: Sequence[Equation] = VALIDATION,
    target: Path = RATES_FILE,
) -> dict[str, float]:
    """Train every arm at every rate, write scores and choices to ``target``, and return the choices.

    The score of a rate is the mean over the equations of the relative L2 error at the end. Trainings are kept
    in ``sweep`` below ``out``: what is there is not trained again.

    Raises:
        UserError: ``out`` has results of other settings, or no rate of an arm ended with a number.
    """
    protocol = protocol or Protocol()
    settings = protocol_settings(protocol, arms)
    folder = RunFolder(Path(out) / "sweep", settings)
    scores: dict[str, dict[str, float | None]] = {arm: {} for arm in arms}
    with one_thread(), progress(len(arms) * len(rates) * len(equations), "cdr sweep", "trainings") as bar:
        weights = folder.pretrained(protocol, VALIDATION_SEED)
        for arm in arms:
            for rate in rates:
                errors = []
                for equation in equations:
                    key = ("trainings", equation.name, arm, f"rate={rate:g}")
                    make = partial(_final_error, arm, equation, weights, protocol, rate)
                    made = folder.result(*key, make=make)
                    errors.append(math.nan if made is None else float(made))
                    bar.advance()
                mean = sum(errors) / len(errors)
                scores[arm][f"{rate:g}"] = mean if math.isfinite(mean) else None
    chosen = {arm: best_rate(arm, of_arm) for arm, of_arm in scores.items()}
    write_json(
        target,
        {
            "chosen": chosen,
            "mean_relative_l2": scores,
            "equations": [equation.name for equation in equations],
            "seed": VALIDATION_SEED,
            "settings": settings,
        },
    )
    return chosen


def best_rate(arm: str, scores: Mapping[str, float | None]) -> float:
    """Return the rate of the lowest score; None is the score of a training that ended without a number.

    Raises:
        UserError: every score is None.
    """
    finite = {rate: score for rate, score in scores.items() if score is not None}
    if not finite:
        raise UserError(
            f"{arm}: a learning rate must end with a finite error, and none of {', '.join(scores)} does; "
            "lower RATES in experiments/cdr/sweep.py"
        )
    return float(min(finite, key=lambda rate: finite[rate]))


def read_rates(arms: Sequence[str], source: Path = RATES_FILE) -> dict[str, float]:
    """Return the chosen rate of each trained arm.

    Raises:
        UserError: the file is missing or damaged, or lacks an arm.
    """
    try:
        chosen = read_json(source)["chosen"]
        return {arm: float(chosen[arm]) for arm in arms if arm != BASE_ALONE}
    except (OSError, ValueError, LookupError, TypeError) as fault:
        raise UserError(
            f"{source}: must hold under `chosen` a learning rate for each of {', '.join(arms)}, and does not "
            f"({fault!r}); write it by `python -m experiments.cdr --sweep --out FOLDER`"
        ) from fault


def protocol_settings(protocol: Protocol, arms: Sequence[str]) -> dict[str, Any]:
    """Return all that could change a training's result but its equation, rate and seed, as plain values."""
    adapters = {arm: adapter_settings(arm, ["hidden"]) for arm in arms}
    return {
        "protocol": asdict(protocol),
        "pretrained": PRETRAINED.name,
        "arms": {
            arm: None if found is None else found.model_dump(mode="json", exclude={"target_modules"})
            for arm, found in adapters.items()
        },
    }


def _final_error(
    arm: str, equation: Equation, weights: Mapping[str, Any], protocol: Protocol, rate: float
) -> float | None:
    scores = adapt(arm, equation, VALIDATION_SEED, weights, protocol, rate)
    (error,) = (score.value for score in scores if (score.setting, score.metric) == ("", "relative_l2"))
    return error if math.isfinite(error) else None
