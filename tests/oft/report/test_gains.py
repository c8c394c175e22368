"""Shares and differences of runs: paired by condition, towards the right end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from oft.evaluation.metric import REAL, RECONSTRUCTION
from oft.evaluation.registry import find_metric
from oft.report.gains import find_clear_best, measure_gains, reference_of
from oft.report.glossary import AdapterWords
from oft.report.results import PictureScores, RunResults

HARD = np.random.default_rng(0).normal(0, 0.1, 40)
LUCK = np.random.default_rng(1).normal(0, 0.02, (9, 40))


def run(
    adapter: str, scores: np.ndarray, reference: np.ndarray | None = None, metrics: Mapping[str, float] = {}
) -> RunResults:
    """A run whose pictures have these edge scores, beside those of their targets through the autoencoder."""
    pictures = tuple(
        PictureScores(
            f"k{place:02d}",
            0,
            {"canny_f1": score}
            | ({} if reference is None else {"canny_f1_reconstruction": float(reference[place])}),
        )
        for place, score in enumerate(scores.tolist())
    )
    words = AdapterWords(adapter, is_hint_alone=adapter == "hint")
    return RunResults(adapter, words, pictures=pictures, metrics=metrics)


BASE = run("none", 0.2 + HARD, 0.7 + HARD)
HINT = run("hint", 0.4 + HARD + LUCK[0])
OFT = run("oft", 0.5 + HARD + LUCK[1])


def test_shares_lie_between_base_and_autoencoder_and_of_what_the_hint_encoder_leaves() -> None:
    gains = measure_gains("canny", [BASE, HINT, OFT], "canny_f1", seed=0)
    assert gains is not None and gains.num_conditions == 40 and gains.reference == RECONSTRUCTION
    assert gains.distance == pytest.approx((0.5, 0.5, 0.5))
    oft, hint = gains.by_adapter["oft"], gains.by_adapter["hint"]
    means = {name: LUCK[place].mean() for name, place in (("hint", 0), ("oft", 1))}
    assert oft.closed is not None and hint.closed is not None and oft.closed_of_rest is not None
    assert oft.closed.value == pytest.approx((0.3 + means["oft"]) / 0.5)
    assert hint.closed.value == pytest.approx((0.2 + means["hint"]) / 0.5)
    rest = (0.1 + means["oft"] - means["hint"]) / (0.3 - means["hint"])
    assert oft.closed_of_rest.value == pytest.approx(rest)
    assert oft.closed.low < oft.closed.value < oft.closed.high
    assert hint.over_hint is None and oft.over_hint is not None and oft.over_hint.excludes_zero
    # How hard conditions are is the same for all: it must not widen an interval of a difference.
    assert oft.difference.high - oft.difference.low < 0.02


def test_a_reference_that_is_not_beyond_the_base_gives_no_share() -> None:
    base = run("none", 0.2 + HARD, 0.2 + HARD + LUCK[2] - LUCK[2].mean())
    gains = measure_gains("canny", [base, OFT], "canny_f1", seed=0)
    assert gains is not None and not gains.improves(gains.distance)
    assert gains.by_adapter["oft"].closed is None and gains.by_adapter["oft"].difference.excludes_zero


def test_only_conditions_that_all_runs_have_count() -> None:
    shorter = run("oft", 0.5 + HARD[:30])
    gains = measure_gains("canny", [BASE, shorter], "canny_f1", seed=0)
    assert gains is not None and gains.num_conditions == 30
    assert measure_gains("canny", [BASE, run("oft", 0.5 + HARD[:1])], "canny_f1", seed=0) is None


def test_a_subject_is_measured_towards_the_likeness_of_its_real_pictures() -> None:
    metric = "subject_similarity"

    def subject(adapter: str, scores: np.ndarray) -> RunResults:
        pictures = tuple(PictureScores(f"p{i}", 0, {metric: s}) for i, s in enumerate(scores.tolist()))
        return RunResults(adapter, AdapterWords(adapter), pictures=pictures, metrics={f"{metric}{REAL}": 0.9})

    gains = measure_gains(
        "subject", [subject("none", 0.1 + HARD), subject("oft", 0.5 + HARD)], metric, seed=0
    )
    assert gains is not None and gains.reference == reference_of("subject") == REAL
    closed = gains.by_adapter["oft"].closed
    assert closed is not None and closed.value == pytest.approx(0.4 / (0.8 - HARD.mean()))


def test_mean_iou_is_that_of_each_resample_s_pixels_and_classes_may_be_any() -> None:
    def segmented(adapter: str, hits: int) -> RunResults:
        pixels = {
            (f"k{place}", 0): {
                "generated": {150: (hits + place, 100, 100)},
                "reconstruction": {150: (90, 100, 100), 3: (0, 0, 7)},
            }
            for place in range(5)
        }
        return RunResults(adapter, AdapterWords(adapter), class_pixels=pixels)

    gains = measure_gains("segmentation", [segmented("none", 20), segmented("oft", 60)], "miou", seed=0)
    closed = gains.by_adapter["oft"].closed if gains else None

    def iou(hits: float) -> float:
        return hits / (200 - hits)

    assert closed is not None
    assert closed.value == pytest.approx((iou(62) - iou(22)) / (iou(90) - iou(22)))
    assert closed.low < closed.value < closed.high


def test_without_base_reference_or_scores_nothing_is_measured() -> None:
    assert measure_gains("canny", [HINT, OFT], "canny_f1", seed=0) is None
    assert measure_gains("canny", [run("none", 0.2 + HARD), OFT], "canny_f1", seed=0) is None
    assert measure_gains("canny", [BASE, RunResults("oft")], "canny_f1", seed=0) is None
    assert measure_gains("canny", [BASE, OFT], "unheard_of", seed=0) is None


def test_the_best_is_clear_only_if_it_beats_every_other_beyond_chance() -> None:
    metric = find_metric("canny_f1")
    assert metric is not None
    close = run("coft", 0.5 + HARD + LUCK[3] - LUCK[3].mean() + LUCK[1].mean())
    assert find_clear_best([BASE, HINT, OFT], metric, seed=0) == "oft"
    assert find_clear_best([BASE, HINT, OFT, close], metric, seed=0) is None
    assert find_clear_best([OFT], metric, seed=0) is None
    assert find_clear_best([BASE, RunResults("oft")], metric, seed=0) is None
