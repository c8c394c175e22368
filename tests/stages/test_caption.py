"""The stage `caption` goes on where an interrupted run was, and only where nothing it depends on changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oft.captions import blip
from oft.models import device
from oft.storage import dump_yaml, load_yaml
from stages import caption

CHECKPOINTS = Path(".checkpoints")


class Captioner:
    """Stands in for BLIP; stops before a batch as Ctrl-C would."""

    asked = 0
    stops_at = 2

    def __init__(self, settings: object, device: str) -> None:
        assert device == "cpu"

    def __call__(self, pictures: list[Image.Image]) -> list[str]:
        if Captioner.asked == Captioner.stops_at:
            raise KeyboardInterrupt
        Captioner.asked += 1
        return [f"a picture of {picture.width} pixels" for picture in pictures]


@pytest.fixture
def interrupted(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder in which captioning seven pictures was interrupted after two batches of two."""
    values["datasets"]["photos"]["captions"] |= {"source": "blip"}
    values["blip"]["batch_size"] = 2
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    pictures = tmp_path / "data" / "raw" / "photos"
    pictures.mkdir(parents=True)
    for number in range(7):
        Image.new("RGB", (10 + number, 8)).save(pictures / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(blip, "BlipCaptioner", Captioner)
    monkeypatch.setattr(device, "choose_device", lambda: "cpu")
    monkeypatch.setattr(device, "make_deterministic", lambda: None)
    monkeypatch.setattr(Captioner, "asked", 0)
    with pytest.raises(KeyboardInterrupt):
        caption.main(["--dataset", "photos"])
    assert not (tmp_path / "data" / "captions").exists()
    monkeypatch.setattr(Captioner, "asked", 0)
    monkeypatch.setattr(Captioner, "stops_at", None)
    return tmp_path


def test_an_interrupted_captioning_asks_for_the_rest_alone_and_clears_up(
    interrupted: Path,
) -> None:
    caption.main(["--dataset", "photos"])
    assert Captioner.asked == 2
    lines = (interrupted / "data" / "captions" / "photos" / "captions.jsonl").read_text().splitlines()
    expected = [[f"a picture of {10 + number} pixels"] for number in range(7)]
    assert [json.loads(line)["captions"] for line in lines] == expected
    counts = json.loads((interrupted / "data" / "captions" / "photos.counts.json").read_text())
    assert (counts["val"]["seen"], counts["val"]["kept"]) == (7, 7)
    assert list((interrupted / CHECKPOINTS).iterdir()) == []


@pytest.mark.parametrize("changed", ["picture", "beams", "model"])
def test_captions_of_another_run_are_not_taken(interrupted: Path, changed: str) -> None:
    values = load_yaml((interrupted / "params.yaml").read_text())
    if changed == "picture":
        Image.new("RGB", (10, 8), "red").save(interrupted / "data" / "raw" / "photos" / "0.png")
    elif changed == "beams":
        values["blip"]["num_beams"] += 1
    else:
        values["blip"]["model"] = "another"
    (interrupted / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    caption.main(["--dataset", "photos"])
    assert Captioner.asked == 4
