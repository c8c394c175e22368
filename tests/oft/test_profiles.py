"""Profiles: each composes to valid settings, keeps the comments, and the default is params.yaml itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miniature.world import SUBJECTS
from miniature.world.styles import STYLES
from oft.errors import ParamsError
from oft.evaluation.registry import FAMILIES
from oft.params import parse_params
from oft.profiles import compose_profile, list_profiles, write_profile
from oft.storage import load_yaml
from tests.conftest import ROOT

CONF = ROOT / "conf"


def test_values_of_a_profile_are_written_as_those_of_the_defaults(tmp_path: Path) -> None:
    write_profile(CONF, "full", tmp_path / "params.yaml")
    lines = (tmp_path / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert "sample_shards: [0, 1]" in lines and "  variant: null" in lines
    assert "  subject_duck_toy: {dataset: dreambooth, subject: duck_toy}" in lines


@pytest.mark.parametrize("name", list_profiles(CONF))
def test_every_profile_is_valid_and_written_as_composed(name: str, tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    write_profile(CONF, name, target)
    text = target.read_text(encoding="utf-8")
    assert load_yaml(text) == compose_profile(CONF, name)
    comments = [
        line for line in (CONF / "defaults.yaml").read_text(encoding="utf-8").splitlines() if line[:1] == "#"
    ]
    assert set(comments) <= set(text.splitlines())


def test_params_yaml_is_the_default_profile(tmp_path: Path) -> None:
    write_profile(CONF, "miniature", tmp_path / "params.yaml")
    assert (ROOT / "params.yaml").read_bytes() == (tmp_path / "params.yaml").read_bytes()


def test_an_unknown_profile_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"full, miniature, sd15-canny, .*, smoke"):
        write_profile(CONF, "nope", tmp_path / "params.yaml")
    assert not (tmp_path / "params.yaml").exists()


def test_a_profile_that_breaks_a_rule_leaves_the_file_alone(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    (conf / "profile").mkdir(parents=True)
    for name in ("config.yaml", "defaults.yaml"):
        (conf / name).write_bytes((CONF / name).read_bytes())
    (conf / "profile" / "miniature.yaml").write_text("# @package _global_\nseed: -1\n", encoding="utf-8")
    target = tmp_path / "params.yaml"
    target.write_text("kept", encoding="utf-8")
    with pytest.raises(ParamsError, match="seed"):
        write_profile(conf, "miniature", target)
    assert target.read_text(encoding="utf-8") == "kept"


def test_smoke_has_the_graph_of_the_default() -> None:
    smoke, default = (parse_params(compose_profile(CONF, name)) for name in ("smoke", "miniature"))
    for key in ("datasets", "tasks", "subjects", "styles", "transfers"):
        assert set(getattr(smoke, key)) == set(getattr(default, key))
    for key in ("trained_tasks", "control_adapters", "subject_adapters", "style_adapters", "base_tasks"):
        assert getattr(smoke, key) == getattr(default, key)


def test_full_has_all_that_the_world_offers() -> None:
    full = parse_params(compose_profile(CONF, "full"))
    assert {full.subjects[task].subject for task in full.subject_tasks} == set(SUBJECTS)
    assert {full.datasets[full.styles[task].dataset].acquire.source for task in full.style_tasks} == {
        f"world-{style}" for style in STYLES
    }
    assert set(full.base_tasks) >= set(full.trained_tasks)


def test_a_small_number_is_written_as_every_reader_of_yaml_takes_it(tmp_path: Path) -> None:
    write_profile(CONF, "sd15-segm", tmp_path / "params.yaml")
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert "learning_rate: 1.0e-05" in text
    assert parse_params(load_yaml(text)).train.learning_rate == 1e-5


def test_a_value_that_hydra_reads_otherwise_is_refused(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    profile = conf / "profile" / "smoke.yaml"
    profile.write_text(profile.read_text(encoding="utf-8") + "\nseed: 0550\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"smoke.yaml: seed: Hydra reads 360, and YAML 1.2 says 550"):
        compose_profile(conf, "smoke")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"adapters:\n  on: {method: oft, num_blocks: 1}\n", r"adapters\.True\.method: .* has no such key"),
        (b"- a\n", "must be a mapping of settings, and holds a list"),
        (b"hello\n", "must be a mapping of settings, and holds a str"),
        (b"seed: \xff\n", "is not UTF-8 text"),
        (b"identifier: ${nope}\n", "Hydra cannot compose this profile: Interpolation key 'nope' not found"),
        (b'identifier: "${"\n', "Hydra cannot "),
        (b"defaults: [nope]\n", "Hydra cannot compose this profile: .*Could not load 'profile/nope'"),
        (b"identifier: ???\n", "Hydra cannot read it: Missing mandatory value: identifier"),
        (b"identifier: 2024-13-45\n", "is no valid YAML"),
    ],
)
def test_a_profile_that_is_none_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "profile" / "mine.yaml").write_bytes(b"# @package _global_\n" + content)
    with pytest.raises(ParamsError, match=rf"mine\.yaml.*{message}"):
        write_profile(conf, "mine", tmp_path / "params.yaml")
    assert not (tmp_path / "params.yaml").exists()


def test_the_profiles_of_controlnetpp_draw_as_it_does_and_train_as_theirs_do() -> None:
    figures = set()
    for name, trained in (("sd15-controlnetpp-segm", "sd15-segm"), ("sd15-controlnetpp-coco", "sd15-canny")):
        params, other = (parse_params(compose_profile(CONF, profile)) for profile in (name, trained))
        assert params.evaluate.controlnetpp.enabled and not other.evaluate.controlnetpp.enabled
        sample = params.sample
        assert (sample.scheduler, sample.num_inference_steps, sample.guidance_scale) == ("unipc", 20, 7.5)
        assert (sample.negative_prompt, sample.num_samples) == ("worst quality, low quality", 4)
        assert (params.train, params.adapters) == (other.train, other.adapters)
        conditions = {params.condition_of(task) for task in params.trained_tasks}
        figures |= {
            metric.name
            for family in FAMILIES
            if family.switch and any(map(family.is_for, conditions))
            for metric in family.metrics
        }
    assert figures == {
        "controlnetpp_miou",
        "controlnetpp_canny_f1",
        "controlnetpp_hed_ssim",
        "controlnetpp_depth_rmse",
    }
