"""A network depends on its settings and the networks before it, never on which run trained it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miniature.pretrain import CHAINS, JUDGES, OBJECTIVES, PretrainSettings, keep_networks, train_chain
from miniature.training import FitSettings
from oft.errors import ParamsError
from oft.params import Pretraining
from oft.storage import read_json, sha256_file, write_json

NETWORKS = [name for chain in CHAINS for name in chain]
RECIPE = FitSettings(steps=2, batch_size=4, learning_rate=1e-3, warmup_steps=1)
SETTINGS = PretrainSettings(50, {name: [RECIPE] for name in NETWORKS})


def test_every_network_has_settings_an_objective_and_one_place_in_a_chain() -> None:
    settings = set(Pretraining.model_fields) - {"seed", "pool_images"}
    assert sorted(NETWORKS) == sorted(settings) == sorted(OBJECTIVES)


def test_an_interrupted_chain_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    chain = ("vae", "denoiser")
    train_chain(chain, tmp_path / "whole", SETTINGS, seed=0)
    train_chain(chain[:1], tmp_path / "resumed", SETTINGS, seed=0)
    train_chain(chain, tmp_path / "resumed", SETTINGS, seed=0)
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "resumed")
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_a_round_goes_on_from_the_one_before_wherever_it_was_interrupted(tmp_path: Path) -> None:
    once = PretrainSettings(50, {"depth": [RECIPE]})
    twice = PretrainSettings(50, {"depth": [RECIPE, RECIPE]})
    train_chain(("depth",), tmp_path / "once", once, seed=0)
    train_chain(("depth",), tmp_path / "twice", twice, seed=0)
    shutil.copytree(tmp_path / "once" / "depth", tmp_path / "resumed" / "depth.1")
    train_chain(("depth",), tmp_path / "resumed", twice, seed=0)
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "twice") != hashes(tmp_path / "once")
    assert [row["step"] for row in read_json(tmp_path / "twice" / "depth" / "log.json")] == [2, 4]


@pytest.mark.parametrize("network", JUDGES)
def test_a_network_that_is_there_is_kept_and_one_that_is_not_comes_out_the_same(
    network: str, tmp_path: Path
) -> None:
    train_chain((network,), tmp_path, SETTINGS, seed=0)
    made = hashes(tmp_path)
    log = tmp_path / network / "log.json"
    log.write_text("kept", encoding="utf-8")
    train_chain((network,), tmp_path, SETTINGS, seed=0)
    assert log.read_text(encoding="utf-8") == "kept"
    shutil.rmtree(tmp_path / network)
    train_chain((network,), tmp_path, SETTINGS, seed=0)
    assert hashes(tmp_path) == made


@pytest.mark.parametrize(("remade", "kept"), [("clip", {*NETWORKS} - {"clip"}), ("vae", {*JUDGES})])
def test_one_network_is_remade_with_what_is_built_on_it_and_the_others_are_kept(
    remade: str, kept: set[str], tmp_path: Path
) -> None:
    finished = tmp_path / "finished"
    for place in ("vae", "unet", "text_encoder"):
        _write_network(finished / "base" / place, place)
    for judge in JUDGES:
        _write_network(finished / "judges" / judge, judge)
    write_json(finished / "training_log.json", [{"network": name, "step": 1} for name in NETWORKS])
    keep_networks(finished, tmp_path / "scratch", [remade])
    assert {path.name for path in (tmp_path / "scratch").iterdir()} == kept
    for name in kept:
        assert read_json(tmp_path / "scratch" / name / "log.json") == [{"network": name, "step": 1}]
    if "denoiser" in kept:
        weights = tmp_path / "scratch" / "denoiser" / "unet" / "weights.safetensors"
        assert weights.read_bytes() == b"unet"


def test_an_unknown_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="judge: no such network; there are vae, denoiser"):
        keep_networks(tmp_path, tmp_path / "scratch", ["judge"])


def _write_network(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(content.encode())


def hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*.safetensors")}
