"""The section artifacts: of a dvc.yaml, and the tags that DVC finds its entries by."""

from __future__ import annotations

from pathlib import Path

from flows.retrain.artifacts import artifact_name, version_tags, with_artifacts
from oft.storage import load_yaml
from tests.conftest import ROOT

ENTRY = {"path": "promoted/a-oft", "type": "model"}


def test_nothing_else_of_dvc_yaml_changes() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    made = with_artifacts(text, {"a-oft": ENTRY})
    assert made.startswith(text.rstrip("\n"))
    assert load_yaml(made)["artifacts"] == {"a-oft": ENTRY}
    assert with_artifacts(made, {"a-oft": ENTRY}) == made


def test_artifacts_of_others_stay_and_ours_is_replaced() -> None:
    text = (
        "artifacts:\n  # theirs\n  theirs:\n    path: x\n\n  a-oft:\n    path: old\n# next\nstages:\n  s:\n"
        "    cmd: 'true'\n"
    )
    loaded = load_yaml(with_artifacts(text, {"a-oft": ENTRY}))
    assert loaded == {
        "artifacts": {"theirs": {"path": "x"}, "a-oft": ENTRY},
        "stages": {"s": {"cmd": "true"}},
    }
    flow = "artifacts: {theirs: {path: x}}\nstages: {}\n"
    assert load_yaml(with_artifacts(flow, {"a-oft": ENTRY}))["artifacts"].keys() == {"theirs", "a-oft"}


def test_names_are_those_dvc_allows() -> None:
    from dvc.repo.artifacts import name_is_compatible

    assert artifact_name("segm_ade20k", "oft") == "segm-ade20k-oft"
    assert name_is_compatible("segm-ade20k-oft")


def test_versions_are_tagged_as_gto_reads_them_and_other_artifacts_are_not() -> None:
    from gto.constants import tag_re

    text = "artifacts:\n  theirs: {path: x}\n  segm-ade20k-oft: {path: promoted/segm_ade20k-oft}\n"
    [tag] = version_tags(text, Path("promoted"), 7)
    read = tag_re.match(tag)
    assert read is not None
    assert (read["artifact"], read["version"]) == ("segm-ade20k-oft", "v7.0.0")
    assert version_tags("stages: {}\n", Path("promoted"), 7) == []
