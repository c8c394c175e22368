"""Every layout goes through the stages from a folder of the user's own to conditioning images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from oft.storage import read_json
from stages import acquire, extract, paths
from tests.oft.data.conftest import ROOTS
from tests.oft.data.test_checking import KEPT

CONDITIONS = {"ade20k_root": "segmentation", "deepfashion_root": "densepose"}


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_a_folder_in_each_layout_is_acquired_and_extracted(
    fixture: str,
    request: pytest.FixtureRequest,
    values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source: Path = request.getfixturevalue(fixture)
    values["datasets"]["mine"] = {
        **values["datasets"]["photos"],
        "reader": ROOTS[fixture],
        "acquire": {"source": str(source), "mirror": None, "accept_licence": False},
    }
    values["tasks"]["mine"] = {"dataset": "mine", "condition": CONDITIONS.get(fixture, "canny")}
    values["resolution_px"] = 16
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(values))
    acquire.main(["--dataset", "mine"])
    extract.main(["--task", "mine"])
    counts = read_json(paths.counts(paths.conditions("mine")))
    assert sum(tally["kept"] for tally in counts.values()) == KEPT[fixture]
    found = read_json(paths.counts(paths.raw("mine")))
    assert {split: tally["seen"] for split, tally in found.items()} == {
        split: tally["seen"] for split, tally in counts.items()
    }
