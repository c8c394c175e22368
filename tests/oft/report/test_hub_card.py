"""The card of an adapter on the hub: metadata that the hub reads, and the run's own figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from oft.models.adapted import load_adapter_onto, save_with_base
from oft.models.base import load_base
from oft.report.hub_card import card_of, hub_card
from oft.storage import write_json
from tests.adapters import Saver

METRICS: dict[str, Any] = {
    "miou": 0.768,
    "miou_real": 0.9,
    "judges": "miniature",
    "scheduler": "ddim",
    "num_images": 96,
    "energy_change": 1e-7,
}


def data_of(card: str) -> Any:
    return ModelCard(card).data


def test_the_metadata_has_the_run_s_figures(saved: Saver) -> None:
    data = data_of(hub_card(saved("oft"), "rex", METRICS))
    assert data.pipeline_tag == "text-to-image"
    assert {"oft", "stable-diffusion"} <= set(data.tags or [])
    assert data.eval_results is not None
    found = {each.metric_type: each.metric_value for each in data.eval_results}
    assert found == {"miou": 0.768, "energy_change": 1e-7}


def test_a_base_of_the_hub_is_named_and_another_is_not(
    saved: Saver, base_folder: Path, tmp_path: Path
) -> None:

    folder = saved("oft")
    assert data_of(hub_card(folder, "rex")).base_model is None
    base = replace(load_base(base_folder), origin=f"owner/model@{'0' * 40}")
    adapter = load_adapter_onto(base, folder)
    save_with_base(tmp_path / "named", adapter, base)
    assert data_of(hub_card(tmp_path / "named", "rex")).base_model == "owner/model"


def test_figures_lie_beside_an_adapter_of_a_run(saved: Saver, tmp_path: Path) -> None:
    run = tmp_path / "root" / "runs" / "segm_ade20k" / "oft"
    run.mkdir(parents=True)
    saved("oft").rename(run / "magnitude")
    card = card_of(run / "magnitude", "segm")
    assert "## Figures" not in card
    assert str(tmp_path) not in card
    write_json(run / "metrics.json", METRICS)
    row = {
        **dict.fromkeys(("base", "hint", "ceiling", "over", "difference"), None),
        **{"task": "segm_ade20k", "title": "Region map", "adapter": "oft", "adapter_title": "OFT"},
        **{
            "metric": "miou",
            "metric_title": "Mean IoU",
            "direction": "higher",
            "value": 0.768,
            "is_hint": False,
        },
    }
    (tmp_path / "root" / "report").mkdir()
    write_json(tmp_path / "root" / "report" / "headlines.json", [row, row | {"adapter": "lora"}])
    card = card_of(run / "magnitude", "segm")
    assert card.count("| Region map |") == 1
    assert "Mean IoU (miniature segmenter) | 0.768" in card
