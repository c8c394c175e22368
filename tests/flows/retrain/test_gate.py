"""Laws of the gate: pairing, intervals, and that chance promotes no more often than it may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from flows.retrain.gate import ImageScores, judge, pair_scores
from oft.errors import UserError
from oft.params import Params
from oft.settings.evaluation import Gate

TRIALS = 200


@pytest.fixture
def gate(params: Params) -> Gate:
    """The default gate with as few resamples as its level needs."""
    return params.gate.model_copy(update={"num_resamples": 999})


def rows(scores: Sequence[float | None], name: str = "canny_f1", per_key: int = 1) -> list[ImageScores]:
    """Return a row a score, ``per_key`` of them of one condition."""
    return [
        {"key": f"k{number // per_key}", "index": number % per_key, name: score}
        for number, score in enumerate(scores)
    ]


Scores = dict[str, tuple[list[ImageScores], list[ImageScores]]]


def trial(rng: np.random.Generator, gain: float, skewed: bool) -> Scores:
    """Two models on forty pictures, equally hard, with luck of their own; the candidate gains so much."""
    hard = rng.normal(0.5, 0.15, 40)
    before, after = (
        (rng.exponential(0.05, 40), rng.exponential(0.05, 40)) if skewed else rng.normal(0, 0.05, (2, 40))
    )
    return {"task": (rows(list(hard + before)), rows(list(hard + after + gain)))}


@pytest.mark.parametrize("skewed", [False, True], ids=["normal", "skewed"])
def test_noise_promotes_no_more_often_than_its_level_allows(gate: Gate, skewed: bool) -> None:
    """No true gain, and none asked for: at most half of 1 - confidence, up to three standard errors."""
    rule = gate.metrics["canny_f1"].model_copy(update={"min_gain": 0.0, "max_loss": None})
    alone = gate.model_copy(update={"metrics": {"canny_f1": rule}})
    rng = np.random.default_rng(1)
    promoted = sum(judge(trial(rng, 0.0, skewed), alone).passes for _ in range(TRIALS))
    allowed = (1 - gate.confidence) / 2
    assert promoted / TRIALS <= allowed + 3 * np.sqrt(allowed * (1 - allowed) / TRIALS)


def test_a_true_gain_is_promoted_and_a_true_loss_never(gate: Gate) -> None:
    rng = np.random.default_rng(2)
    assert sum(judge(trial(rng, 0.06, False), gate).passes for _ in range(50)) >= 48
    assert sum(judge(trial(rng, -0.06, False), gate).passes for _ in range(50)) == 0


def test_many_scores_of_noise_promote_no_more_often_than_one(gate: Gate) -> None:
    """Twelve tasks without a gain: one of them would gain by chance far more often than all may."""
    rule = gate.metrics["canny_f1"].model_copy(update={"min_gain": 0.0, "max_loss": None})
    many = gate.model_copy(update={"metrics": {"canny_f1": rule}, "num_resamples": 2000})
    rng = np.random.default_rng(3)
    promoted = 0
    for _ in range(60):
        scores = {f"task{number}": trial(rng, 0.0, False)["task"] for number in range(12)}
        promoted += judge(scores, many).passes
    allowed = (1 - gate.confidence) / 2
    assert promoted / 60 <= allowed + 3 * np.sqrt(allowed * (1 - allowed) / 60)


def test_pictures_are_paired_by_key_and_index_and_those_of_one_condition_averaged() -> None:
    before = rows([0.1, 0.3, 0.5, None, 0.9, 0.9], per_key=2)
    after = list(reversed(rows([0.2, 0.4, 0.5, 0.7], per_key=2)))
    pairs = pair_scores("task", "canny_f1", before, after, 2)
    assert pairs.promoted == pytest.approx([0.2, 0.5])
    assert pairs.candidate == pytest.approx([0.3, 0.5])
    assert (pairs.num_pictures, pairs.num_left_out) == (3, 3)


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_direction_gain_and_loss(gate: Gate, direction: str) -> None:
    rng = np.random.default_rng(4)
    sign = 1.0 if direction == "higher" else -1.0
    rules = {name: rule.model_copy(update={"direction": direction}) for name, rule in gate.metrics.items()}
    turned = gate.model_copy(update={"metrics": rules})
    base = list(rng.uniform(0.3, 0.6, 40))

    def verdicts(**gains: float) -> tuple[bool, set[str]]:
        made = {
            name: (rows(base, name), rows([score + sign * gain for score in base], name))
            for name, gain in gains.items()
        }
        judgement = judge(made, turned)
        return judgement.passes, {row.verdict for row in judgement.comparisons}

    assert verdicts(canny_f1=0.1) == (True, {"gain"})
    assert verdicts(canny_f1=0.004) == (False, {"even"})
    assert verdicts(prompt_similarity=0.1) == (False, {"even"})  # its gain does not count
    assert verdicts(canny_f1=0.1, prompt_similarity=-0.04) == (True, {"gain", "even"})
    assert verdicts(canny_f1=0.1, prompt_similarity=-0.06) == (False, {"gain", "loss not excluded"})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            rows([0.5] * 40),
            rows([0.5] * 19),
            "compared over 19 conditions, and gate.min_conditions asks for 20",
        ),
        (
            rows([0.5] * 40, "frechet_distance"),
            rows([0.5] * 40, "frechet_distance"),
            "task has none of the scores in gate.metrics",
        ),
        (rows([0.5] * 40), [], "task has none of the scores"),
    ],
)
def test_an_unjudgeable_candidate_is_refused(gate: Gate, before: Any, after: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        judge({"task": (before, after)}, gate)
