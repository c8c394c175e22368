"""What is computed once is what would be computed in every step, and belongs to one base and its shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from oft.errors import DataError
from oft.models.adapted import init_adapter
from oft.models.base import Base, latent_shape, load_base
from oft.models.prompts import encode_prompts
from oft.params import Params
from oft.seeding import generator_for
from oft.shards.shards import pack_sample, write_shards
from oft.shards.store import ShardFolder
from oft.storage import read_json, write_json
from oft.training.encoded import Encoded, open_encoded, write_encoded
from oft.training.objective import TrainingSource
from oft.training.run import Workplace, train_adapter
from tests.conftest import SIZE_PX
from tests.oft.training.conftest import training_set


@pytest.fixture
def encoded_folder(base: Base, shards_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "encoded"
    folder.mkdir()
    write_encoded(base, ShardFolder(shards_folder), folder, latents=True, text=True)
    return folder


def test_posteriors_are_those_computed_in_the_step(
    base: Base, shards_folder: Path, encoded_folder: Path
) -> None:
    encoded = open_encoded(encoded_folder, base, ShardFolder(shards_folder), "")
    kept, computed = training_set(shards_folder, encoded), training_set(shards_folder)
    for numbers in ([0, 1], [7, 2, 5, 4]):
        loaded = kept.load(np.array(numbers))
        assert loaded.pictures is None  # nothing is decoded in vain
        for one, other in zip(
            loaded.posterior(base), computed.load(np.array(numbers)).posterior(base), strict=True
        ):
            assert torch.equal(one, other) and one.shape == (len(numbers), *latent_shape(base, SIZE_PX))


def test_embeddings_are_those_of_the_text_encoder(
    base: Base, shards_folder: Path, encoded_folder: Path
) -> None:
    prompts = open_encoded(encoded_folder, base, ShardFolder(shards_folder), "").prompts
    assert prompts is not None
    wanted = ["a house", "", "a red house", "a house"]  # the empty prompt is not kept
    kept, computed = prompts.encode(base, wanted), encode_prompts(base, wanted)
    assert torch.equal(kept.hidden_states, computed.hidden_states) and kept.pooled is None


def test_training_with_it_is_training_without(
    base_folder: Path, shards_folder: Path, params: Params, encoded_folder: Path, tmp_path: Path, base: Base
) -> None:
    settings = params.train.model_copy(
        update={
            "max_train_steps": 2,
            "batch_size": 4,
            "warmup_steps": 0,
            "mixed_precision": "fp32",
            "prompt_dropout": 0.5,
        }
    )

    def train(encoded: Encoded, name: str) -> tuple[list[dict[str, float]], list[torch.Tensor]]:
        fresh = load_base(base_folder)
        loaded = init_adapter(
            fresh, params.adapters["oft"], with_condition=True, generator=generator_for("a")
        )
        log = train_adapter(
            fresh,
            loaded,
            [TrainingSource(training_set(shards_folder, encoded), "instance")],
            settings,
            Workplace(tmp_path / name, tmp_path / name / "scratch", tmp_path / "logs"),
            seed=1,
            name=name,
        )
        return log, [value.detach() for value in loaded.trained_parameters().values()]

    encoded = open_encoded(encoded_folder, base, ShardFolder(shards_folder), "")
    kept_log, kept = train(encoded, "kept")
    log, computed = train(Encoded(), "computed")
    assert kept_log == log
    assert all(torch.equal(one, other) for one, other in zip(kept, computed, strict=True))


def test_writing_again_gives_the_same_bytes(
    base: Base, shards_folder: Path, encoded_folder: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    write_encoded(base, ShardFolder(shards_folder), again, latents=True, text=True)
    names = sorted(path.name for path in encoded_folder.iterdir())
    assert names == [
        "captions.json",
        "manifest.json",
        "prompts-000000.safetensors",
        "train-000000.safetensors",
        "train-000001.safetensors",
        "val-000000.safetensors",
    ]
    for name in names:
        assert (encoded_folder / name).read_bytes() == (again / name).read_bytes(), name


def test_nothing_is_kept_where_nothing_is_asked_for(base: Base, shards_folder: Path, tmp_path: Path) -> None:
    store = ShardFolder(shards_folder)
    write_encoded(base, store, tmp_path, latents=False, text=False)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert open_encoded(tmp_path, base, store, "") == Encoded()


def test_pictures_of_several_sizes_are_kept_by_shard(base: Base, tmp_path: Path) -> None:
    def shard(prefix: str, height_px: int, width_px: int) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
        samples = [pack_sample(f"{prefix}{n}", picture, meta={"captions": ["x"]}) for n in range(2)]
        write_shards(samples, tmp_path / prefix, "train", 2)

    for prefix, size in (("a", (64, 96)), ("b", (96, 64))):
        shard(prefix, *size)
    # One folder of two shards, as packing by size writes it.
    index = read_json(tmp_path / "a" / "index.json")
    (other,) = read_json(tmp_path / "b" / "index.json")["splits"]["train"]["shards"]
    (tmp_path / "b" / other["name"]).rename(tmp_path / "a" / "train-000001.tar")
    entries = index["splits"]["train"]["shards"]
    entries[0]["size_px"] = [96, 64]
    entries.append(other | {"name": "train-000001.tar", "size_px": [64, 96]})
    write_json(tmp_path / "a" / "index.json", index)

    store = ShardFolder(tmp_path / "a")
    (tmp_path / "encoded").mkdir()
    write_encoded(base, store, tmp_path / "encoded", latents=True, text=False)
    encoded = open_encoded(tmp_path / "encoded", base, store, "")
    data = training_set(tmp_path / "a", encoded, with_condition=False)
    latents = latent_shape(base, SIZE_PX)[:1]
    assert data.load(np.array([0, 1])).posterior(base)[0].shape == (2, *latents, 8, 12)
    assert data.load(np.array([3, 2])).posterior(base)[0].shape == (2, *latents, 12, 8)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("base_hash", "another base"), ("shards_sha256", "other shards"), ("schema", "another version")],
)
def test_what_belongs_to_something_else_is_refused(
    base: Base, shards_folder: Path, encoded_folder: Path, name: str, meaning: str
) -> None:
    manifest = read_json(encoded_folder / "manifest.json")
    write_json(encoded_folder / "manifest.json", manifest | {name: "f00"})
    with pytest.raises(DataError, match=rf"manifest.json: {name} is f00 .*belongs to {meaning}.*; do this"):
        open_encoded(encoded_folder, base, ShardFolder(shards_folder), "do this")


def test_a_missing_manifest_is_named(base: Base, shards_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}/manifest.json: must say .*; do this"):
        open_encoded(tmp_path, base, ShardFolder(shards_folder), "do this")


def test_captions_beyond_the_text_encoder_are_counted_and_told(
    base: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    most = base.tokenizer.model_max_length - 2  # a prompt has a start and an end
    captions = [" ".join(["house"] * number) for number in (1, most, most + 1, 3 * most)]
    picture = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    samples = [
        pack_sample(f"s{i}", picture, meta={"captions": [caption, "house"]})
        for i, caption in enumerate(captions)
    ]
    write_shards(samples, tmp_path / "task", "train", 4)
    store = ShardFolder(tmp_path / "task")
    (tmp_path / "encoded").mkdir()
    write_encoded(base, store, tmp_path / "encoded", latents=False, text=False)
    assert f"2 of 4 different captions have more than the {most + 2} tokens" in capsys.readouterr().out
    encoded = open_encoded(tmp_path / "encoded", base, store, "")
    assert encoded.num_captions_cut == training_set(tmp_path / "task", encoded).num_captions_cut == 2
    assert torch.equal(*encode_prompts(base, captions[2:]).hidden_states)  # they differ where nothing looks
