"""A network depends on its settings and the networks before it, never on which run trained it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from miniature.pool import Pool, render
from miniature.pretrain import CHAINS, Pools, PretrainSettings, train_chain
from miniature.training import FitSettings
from oft.storage import sha256_file

RECIPE = FitSettings(steps=2, batch_size=4, learning_rate=1e-3, warmup_steps=1)
RECIPES = PretrainSettings(4, *[RECIPE] * 8)


def pool(*kinds: str) -> Pool:
    rows = [render(kind, 0, index) for index, kind in enumerate(kinds)]
    images, labels, captions, names = zip(*rows, strict=True)
    return Pool(np.stack(images), np.stack(labels), list(captions), list(names))


@pytest.fixture(scope="module")
def pools() -> Pools:
    return Pools(pool("scene", "scene", "object", "toy"), pool("figure", "figure"), pool(*["toy"] * 8))


def test_every_network_has_settings_and_one_place_in_a_chain() -> None:
    networks = [name for chain in CHAINS for name in chain]
    settings = {field.name for field in dataclasses.fields(PretrainSettings)} - {"pool_images"}
    assert sorted(networks) == sorted(settings)


def test_an_interrupted_chain_goes_on_to_the_same_weights(pools: Pools, tmp_path: Path) -> None:
    chain = ("vae", "refined_vae", "denoiser", "refined_denoiser")
    train_chain(chain, tmp_path / "whole", pools, RECIPES, seed=0)
    train_chain(chain[:2], tmp_path / "resumed", pools, RECIPES, seed=0)
    train_chain(chain, tmp_path / "resumed", pools, RECIPES, seed=0)
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "resumed")


@pytest.mark.parametrize("network", ["segmenter", "part_segmenter", "clip", "extractor"])
def test_a_network_that_is_there_is_kept_and_one_that_is_not_comes_out_the_same(
    network: str, pools: Pools, tmp_path: Path
) -> None:
    train_chain((network,), tmp_path, pools, RECIPES, seed=0)
    made = hashes(tmp_path)
    log = tmp_path / network / "log.json"
    log.write_text("kept", encoding="utf-8")
    train_chain((network,), tmp_path, pools, RECIPES, seed=0)
    assert log.read_text(encoding="utf-8") == "kept"
    shutil.rmtree(tmp_path / network)
    train_chain((network,), tmp_path, pools, RECIPES, seed=0)
    assert hashes(tmp_path) == made


def hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*.safetensors")}
