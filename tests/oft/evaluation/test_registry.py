"""What metrics declare of themselves: whole, unique, and found by whatever lists them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from oft.conditions.registry import CONDITIONS
from oft.evaluation import registry
from oft.evaluation.judges import Judges
from oft.evaluation.measure import Measurements
from oft.evaluation.metric import JUDGES, STYLE, SUBJECT, Metric, MetricFamily
from oft.evaluation.registry import FAMILIES, all_metrics, headline_metrics, markdown_table, score_names
from oft.storage import load_yaml
from tests.conftest import ROOT

DEFAULTS = (ROOT / "conf" / "defaults.yaml").read_text(encoding="utf-8")


def test_names_are_unique() -> None:
    declared = [metric for family in FAMILIES for metric in family.metrics] + list(registry.OTHER_METRICS)
    assert len(declared) == len(all_metrics())


def test_a_figure_has_the_name_of_its_judge_and_a_published_name_by_a_published_judge_alone() -> None:
    """FID, KID and LPIPS are networks that no run here asks, so no figure has their names."""
    likeness = all_metrics()["subject_similarity"]
    assert likeness.title("miniature") == "Likeness to the subject (miniature extractor)"
    assert likeness.title("data/judges/sd15") == "Likeness to the subject (DINO)"
    assert all_metrics()["canny_f1"].title("miniature") == "Edge F1"
    for metric in all_metrics().values():
        names = f"{metric.name} {metric.title('miniature')}".lower()
        assert not re.search("dino|clip|fid|kid|lpips|inception", names), names
        assert not re.search(r"\b(fid|kid|lpips)\b", metric.title("data/judges/sd15").lower())
        assert not metric.judge or "(miniature " in metric.title("miniature")
        assert metric.judge in ("", *JUDGES)


def test_references_are_judged_as_their_metric_is() -> None:
    for key in ("miou", "miou_real", "miou_reconstruction"):
        assert registry.judged_by(key, "miniature") == "miniature segmenter"
        assert registry.judged_by(key, "elsewhere") == ""
    assert registry.judged_by("canny_f1", "miniature") == registry.judged_by("unheard_of", "miniature") == ""


def test_what_is_a_score_is_explained() -> None:
    shown = [metric for metric in all_metrics().values() if metric.group in ("score", "adapter")]
    assert all(metric.explanation.endswith(".") for metric in shown)


def test_families_know_their_conditions_and_headlines() -> None:
    conditions = {*CONDITIONS, SUBJECT}
    for family in FAMILIES:
        assert set(family.conditions) <= conditions
        metrics = {metric.name: metric for metric in family.metrics}
        assert all(metrics[name].direction != "neither" for name in family.headline)
    assert headline_metrics("segmentation") == ("miou", "aacc")
    assert headline_metrics(SUBJECT) == ("subject_similarity", "subject_similarity_image_text")
    assert headline_metrics(STYLE) == ("style_similarity_unseen", "style_similarity_seen")
    assert headline_metrics("landmarks") == ("landmark_auc", "landmark_nme")
    assert headline_metrics("circles") == ("circle_iou", "circle_colour_error")
    assert headline_metrics("depth") == ("depth_rmse",)
    assert headline_metrics("canny_kornia") == ("controlnetpp_canny_f1",)
    assert headline_metrics("hed") == ("controlnetpp_hed_ssim",)
    assert headline_metrics("openpose") == ()


def test_controlnetpp_s_protocol_is_measured_where_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its names, judges and pixels are its own: with it on, the reference protocol's figures stay."""
    families = [family for family in FAMILIES if family.switch is not None]
    conditions = {condition for family in families for condition in family.conditions}
    assert conditions == {"segmentation", "canny_kornia", "hed", "depth"}
    assert all(
        metric.name.startswith("controlnetpp_") and not metric.judge
        for family in families
        for metric in family.metrics
    )

    def mark(family: MetricFamily) -> MetricFamily:
        def measure(task: Any, measured: Measurements) -> None:
            measured.add({metric.name: 0.5 for metric in family.metrics})

        return replace(family, measure=measure)

    monkeypatch.setattr(registry, "FAMILIES", tuple(map(mark, FAMILIES)))
    for condition in conditions:
        names = {}
        for enabled in (False, True):
            task: Any = SimpleNamespace(
                condition=condition,
                generated=SimpleNamespace(requests=[]),
                counts={},
                settings=SimpleNamespace(controlnetpp=SimpleNamespace(enabled=enabled)),
                judges=SimpleNamespace(missing=lambda names: []),
            )
            names[enabled] = set(registry.measure_task(task).metrics)
        assert not any(name.startswith("controlnetpp_") for name in names[False])
        assert names[False] < names[True]
        assert len(names[True] - names[False]) == 1


def test_the_gate_of_the_defaults_has_every_score_with_its_direction() -> None:
    gate = load_yaml(DEFAULTS)["gate"]["metrics"]
    assert {name: rule["direction"] for name, rule in gate.items()} == {
        name: all_metrics()[name].direction for name in score_names()
    }
    listed = re.search(r"per_image\.json\): ([^;]+);", DEFAULTS)
    assert listed and set(re.findall(r"\w+", listed[1])) == set(score_names())


def test_the_page_on_metrics_has_the_table() -> None:
    assert markdown_table() in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_a_new_family_is_measured_where_it_is_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def count_pictures(task: Any, measured: Measurements) -> None:
        measured.metrics["brightness"] = 0.5

    brightness = Metric("brightness", "Brightness", "How bright it is.", "higher", per_picture=True)
    family = MetricFamily((brightness,), count_pictures, conditions=("depth",), headline=("brightness",))
    monkeypatch.setattr(registry, "FAMILIES", (family,))
    assert headline_metrics("depth") == ("brightness",)
    assert score_names() == ["brightness"]
    for condition, found in (("depth", {"brightness": 0.5}), ("canny", {})):
        task: Any = SimpleNamespace(
            condition=condition,
            generated=SimpleNamespace(requests=[]),
            counts={},
            judges=Judges(tmp_path, torch.device("cpu"), 1),
            settings=None,
        )
        assert registry.measure_task(task).metrics == found


def test_what_a_missing_judge_would_say_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measure(name: str) -> Callable[[Any, Measurements], None]:
        return lambda task, measured: measured.metrics.update({name: 1.0})

    families = [
        MetricFamily((Metric(name, name, judge=judge),), measure(name), tasks=("subject",))
        for name, judge in (("likeness", "extractor"), ("prompt", "clip"), ("size", ""))
    ]
    monkeypatch.setattr(registry, "FAMILIES", tuple(families))
    judges = Judges(tmp_path, torch.device("cpu"), 1)
    task: Any = SimpleNamespace(
        condition=SUBJECT, generated=SimpleNamespace(requests=[]), counts={}, judges=judges, settings=None
    )
    assert registry.measure_task(task).metrics == {"size": 1.0, "missing_judges": "clip, extractor"}
    (tmp_path / "clip").mkdir()
    found = registry.measure_task(task).metrics
    assert found == {"prompt": 1.0, "size": 1.0, "missing_judges": "extractor"}
    (tmp_path / "extractor").mkdir()
    assert registry.measure_task(task).metrics == {"likeness": 1.0, "prompt": 1.0, "size": 1.0}
