"""Every arm on every collection under every seed: each result is kept and never made twice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.text.arms import ARMS, Arm, check_arms, put_on
from experiments.text.classification import logits_of, scores_of, train_classifier
from experiments.text.corpora import NAMES
from experiments.text.forgetting import energy_change, similarity_moves
from experiments.text.inputs import Inputs, read_inputs
from experiments.text.settings import RATES, Rates, Settings, read_rates
from experiments.text.wheels import PINS, read_pins
from experiments.tidy import Row, to_table, write_table
from oft.errors import ParamsError
from oft.evaluation.geometry import measure_energies
from oft.progress import print_line, progress
from oft.storage import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

EXPERIMENT = "text"
SEEDS = (0, 1, 2)
TABLE = "text.parquet"
TELEMETRY = Path(".telemetry/text")


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        inputs_key: hashes of the wheels; with all else here it decides the result.
    """

    corpus: str
    arm: str
    seed: int
    settings: Settings
    rates: Rates
    inputs_key: Mapping[str, str]

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.corpus}-{self.arm}-{self.seed}"

    def key(self) -> dict[str, Any]:
        """Return everything that decides the result."""
        return {**dataclasses.asdict(self), "arm_settings": ARMS[self.arm]}


def plan_trials(
    seeds: Sequence[int], settings: Settings, arms: Sequence[str], rates: Path = RATES, pins: Path = PINS
) -> list[Trial]:
    """Return the trainings of a run, seed by seed, so that a part of a run compares all arms.

    Raises:
        ParamsError: an arm is unknown, a seed is there twice or negative, or a rate is missing.
    """
    check_arms(list(arms))
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ParamsError(f"seeds: must be whole numbers from 0 on, each once, and are {list(seeds)}")
    key = {wheel.package: wheel.sha256 for wheel in read_pins(pins).values()}
    return [
        Trial(corpus, arm, seed, settings, read_rates(corpus, arm, rates), key)
        for seed in seeds
        for corpus in NAMES
        for arm in arms
    ]


def run(
    out: Path,
    seeds: Sequence[int] = SEEDS,
    *,
    settings: Settings | None = None,
    arms: Sequence[str] = tuple(ARMS),
    wheels: Path | None = None,
    rates: Path = RATES,
    pins: Path = PINS,
    telemetry: Path = TELEMETRY,
) -> pd.DataFrame:
    """Train and judge every arm, and write the table ``text.parquet`` into ``out``.

    A training whose result lies in ``out`` and was made of the same things is not run again; one seed's arms
    come before the next seed's.

    Args:
        out: where results and table are kept.
        wheels: a folder with the wheels; None downloads them.
        rates: the file of the grid's choices.
        pins: the file that pins the wheels.
        telemetry: where seconds are noted, which are no result.

    Returns:
        The tidy table (`experiments.tidy`). Of each document of the test split there is
        ``correct`` (0 or 1); of each training ``accuracy``, ``macro_f1``, ``trained_parameters`` (the head's
        among them), ``learning_rate`` and ``head_learning_rate``, and what ``forgetting`` measures.

    Raises:
        UserError: something given is missing or wrong; what is there already stays.
    """
    from oft.models.device import make_deterministic

    make_deterministic()
    settings = settings or Settings()
    trials = plan_trials(seeds, settings, arms, rates, pins)
    kept = {trial.name: _kept(out, trial) for trial in trials}
    missing = [trial for trial in trials if kept[trial.name] is None]
    if missing:
        inputs = read_inputs(settings, wheels, pins=pins)
        total = len(trials) * settings.steps
        with progress(total, "text", "step", total - len(missing) * settings.steps) as bar:
            for trial in missing:

                def on_step(loss: float, trial: Trial = trial) -> None:
                    bar.advance()
                    bar.describe(f"{trial.name}, loss {loss:.3f}")

                started = time.perf_counter()
                result = run_trial(inputs, trial, on_step)
                seconds = time.perf_counter() - started
                write_json(_file_of(out, trial), {"key": trial.key(), **result})
                write_json(telemetry / f"{trial.name}.json", {"seconds": seconds, "steps": settings.steps})
                kept[trial.name] = result
                print_line(describe_result(trial, result["metrics"]))
    table = to_table(row for trial in trials for row in _rows(trial, kept[trial.name]))
    write_table(table, out / TABLE)
    return table


def run_trial(
    inputs: Inputs, trial: Trial, on_step: Callable[[float], None] = lambda loss: None
) -> dict[str, Any]:
    """Return one training's ``metrics`` by name and ``correct`` by document."""
    model = inputs.copy_model()
    arm = put_on(model, trial.arm, trial.seed)
    num_classes = len(inputs.corpora[trial.corpus].classes)
    head = train_classifier(
        model,
        arm,
        inputs.train[trial.corpus],
        num_classes,
        trial.settings,
        trial.rates,
        trial.settings.steps,
        trial.seed,
        on_step,
    )
    metrics = {
        "trained_parameters": float(
            sum(parameter.numel() for parameter in (*head.parameters(), *arm.trained.values()))
        ),
        "head_learning_rate": trial.rates.head,
    }
    if arm.adapter is None:
        return _judge(inputs, trial, model, head, arm, metrics)
    metrics["learning_rate"] = trial.rates.adapter
    with arm.adapter.merging():
        return _judge(inputs, trial, model, head, arm, metrics)


def describe_result(trial: Trial, metrics: Mapping[str, float]) -> str:
    """Return a result in one line."""
    names = ("accuracy", "macro_f1", "similarity_spearman", "energy_change")
    return f"{trial.name}: " + ", ".join(f"{name} {metrics[name]:.4f}" for name in names)


def _judge(
    inputs: Inputs, trial: Trial, model: nn.Module, head: nn.Module, arm: Arm, metrics: dict[str, float]
) -> dict[str, Any]:
    """Return the result of a trained model whose adapter is merged."""
    documents, other = inputs.test[trial.corpus], inputs.other(trial.corpus)
    logits = logits_of(model, head, documents.rows)
    right = (logits.argmax(1) == documents.labels).tolist()
    energies = measure_energies(model, arm.layers)
    moves = similarity_moves(inputs.pretrained_similarities[other], inputs.similarities(model, other))
    ids = [document.id for document in inputs.corpora[trial.corpus].test]
    return {
        "metrics": {
            **scores_of(logits, documents.labels),
            **moves,
            "energy_change": energy_change(inputs.pretrained_energies, energies),
            **metrics,
        },
        "correct": {name: int(value) for name, value in zip(ids, right, strict=True)},
    }


def _file_of(out: Path, trial: Trial) -> Path:
    return Path(out) / "results" / f"{trial.name}.json"


def _kept(out: Path, trial: Trial) -> dict[str, Any] | None:
    """Return the result in ``out`` if it was made of the same things."""
    try:
        found = read_json(_file_of(out, trial))
        kept = {"metrics": dict(found["metrics"]), "correct": dict(found["correct"])}
        return kept if found["key"] == trial.key() else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _rows(trial: Trial, result: Mapping[str, Any] | None) -> Iterator[Row]:
    assert result is not None, "every trial has run"
    of_all = [("", name, value) for name, value in sorted(result["metrics"].items())]
    of_each = [(name, "correct", value) for name, value in sorted(result["correct"].items())]
    for condition, metric, value in (*of_all, *of_each):
        yield Row(EXPERIMENT, trial.corpus, trial.arm, "", trial.seed, condition, metric, float(value))
