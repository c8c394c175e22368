from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from oft.errors import CheckpointError, DataError
from oft.evaluation.features import (
    Judge,
    extract_clip_images,
    extract_clip_texts,
    extract_features,
    extract_pyramid,
    load_clip,
    load_depth_judge,
    load_extractor,
    load_landmark_judge,
    load_segmenter,
)

PROMPTS = ["a red car", "the green house by the sea", "sea", "a car by the house"]
LOADERS = {"segmenter": load_segmenter, "extractor": load_extractor, "clip": load_clip}


def damaged_copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


@pytest.fixture
def folders(segmenter_folder: Path, extractor_folder: Path, clip_folder: Path) -> dict[str, Path]:
    return {"segmenter": segmenter_folder, "extractor": extractor_folder, "clip": clip_folder}


def test_features_are_flat_rows_alike_for_every_batch_size_and_order(
    extractor: Judge, pictures: np.ndarray
) -> None:
    features = extract_features(pictures, extractor, 8)
    assert features.shape == (8, 16)
    assert features.dtype == np.float32
    assert np.ptp(features, axis=0).max() > 1e-3  # the pictures differ
    np.testing.assert_allclose(extract_features(pictures, extractor, 3), features, atol=1e-5)
    np.testing.assert_allclose(extract_features(pictures[::-1], extractor, 8)[::-1], features, atol=1e-5)


def test_extraction_repeats_bit_by_bit(extractor: Judge, pictures: np.ndarray) -> None:
    np.testing.assert_array_equal(
        extract_features(pictures, extractor, 4), extract_features(pictures, extractor, 4)
    )


def test_unit_features_have_length_one_and_the_same_direction(extractor: Judge, pictures: np.ndarray) -> None:
    features = extract_features(pictures, extractor, 8)
    unit = extract_features(pictures, extractor, 8, unit=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        unit, features / np.linalg.norm(features, axis=1, keepdims=True), rtol=1e-4, atol=1e-6
    )


def test_pictures_of_any_size_are_brought_to_the_models(extractor: Judge, pictures: np.ndarray) -> None:
    doubled = pictures.repeat(2, axis=1).repeat(2, axis=2)
    assert extract_features(doubled, extractor, 8).shape == (8, 16)
    assert extract_pyramid(doubled, extractor, 8)[0].shape == extract_pyramid(pictures, extractor, 8)[0].shape


def test_pyramid_has_the_hidden_states_of_every_picture(extractor: Judge, pictures: np.ndarray) -> None:
    pyramid = extract_pyramid(pictures, extractor, 8)
    assert [level.shape for level in pyramid] == [(8, 8, 8, 8), (8, 8, 8, 8), (8, 16, 4, 4)]
    for level, other in zip(pyramid, extract_pyramid(pictures, extractor, 3), strict=True):
        np.testing.assert_allclose(level, other, atol=1e-5)
    np.testing.assert_allclose(
        pyramid[-1].mean(axis=(2, 3)), extract_features(pictures, extractor, 8), atol=1e-5
    )


def test_models_without_a_pooling_layer_give_their_cls_token(tmp_path: Path, pictures: np.ndarray) -> None:
    """DINO's ViT: the CLS token, and no pyramid."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    model = ViTModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    judge = load_extractor(tmp_path)
    with torch.inference_mode():
        values = torch.tensor(pictures).permute(0, 3, 1, 2) / 127.5 - 1
        expected = model(pixel_values=values).last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(extract_features(pictures, judge, 3), expected, atol=1e-5)
    with pytest.raises(CheckpointError, match="convolutional extractor; ViTModel"):
        extract_pyramid(pictures, judge, 8)


def test_clip_features_share_one_space_and_do_not_depend_on_the_batch(
    clip: Judge, pictures: np.ndarray
) -> None:
    images, texts = extract_clip_images(pictures, clip, 8), extract_clip_texts(PROMPTS, clip, 4)
    assert images.shape == (8, 8)
    assert texts.shape == (4, 8)
    np.testing.assert_allclose(extract_clip_images(pictures, clip, 3), images, atol=1e-5)
    np.testing.assert_allclose(extract_clip_texts(PROMPTS, clip, 1), texts, atol=1e-5)
    np.testing.assert_allclose(extract_clip_texts(PROMPTS[::-1], clip, 4)[::-1], texts, atol=1e-5)


def test_clip_features_are_the_models_own_embeddings(clip: Judge, pictures: np.ndarray) -> None:
    """The full forward pass returns the embeddings scaled to length 1."""
    tokens = clip.tokenizer(PROMPTS, padding=True, return_tensors="pt")
    values = torch.tensor(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        output = clip.model(pixel_values=values, **tokens)

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    np.testing.assert_allclose(unit(extract_clip_images(pictures, clip, 8)), output.image_embeds, atol=1e-5)
    np.testing.assert_allclose(unit(extract_clip_texts(PROMPTS, clip, 4)), output.text_embeds, atol=1e-5)


def test_prompts_longer_than_the_model_are_cut(clip: Judge) -> None:
    long = "sea " * 40
    assert np.isfinite(extract_clip_texts([long], clip, 1)).all()


def test_different_prompts_have_different_features(clip: Judge) -> None:
    texts = extract_clip_texts(PROMPTS, clip, 4)
    distances = np.linalg.norm(texts[:, None] - texts[None], axis=-1)
    assert distances[~np.eye(len(PROMPTS), dtype=bool)].min() > 1e-4


def test_nothing_to_extract_is_refused(extractor: Judge, clip: Judge, pictures: np.ndarray) -> None:
    with pytest.raises(DataError, match="pictures must be uint8"):
        extract_features(pictures[:0], extractor, 8)
    with pytest.raises(DataError, match="pictures must be uint8"):
        extract_clip_images(pictures[:0], clip, 8)
    with pytest.raises(DataError, match="no prompt"):
        extract_clip_texts([], clip, 8)


def test_judges_are_in_single_precision_without_gradients(
    segmenter: Judge, extractor: Judge, clip: Judge
) -> None:
    for judge in (segmenter, extractor, clip):  # stored in half precision
        assert not judge.model.training
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in judge.model.parameters())


def test_preprocessing_is_read_beside_the_weights(extractor_folder: Path, tmp_path: Path) -> None:
    folder = damaged_copy(extractor_folder, tmp_path / "extractor")
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 48, "image_mean": [0.1, 0.2, 0.3]}))
    preprocessing = load_extractor(folder).preprocessing
    assert preprocessing.resize_px == (48, 48)
    assert preprocessing.mean == (0.1, 0.2, 0.3)


def test_clip_takes_its_own_size_where_no_file_gives_one(clip_folder: Path, tmp_path: Path) -> None:
    folder = damaged_copy(clip_folder, tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    assert load_clip(str(folder)).preprocessing.resize_px == (32, 32)


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_folder_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"judge \(.*absent\): no such folder; it must be a folder"):
        LOADERS[name](tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"judge \(.*absent\): no such folder; it must be a folder"):
        LOADERS[name](str(tmp_path / "absent"))


@pytest.mark.parametrize("name", LOADERS)
def test_an_empty_folder_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=tmp_path.name):
        LOADERS[name](tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_truncated_weights_are_refused_by_name(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged_copy(folders[name], tmp_path / "broken")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="broken: cannot be loaded as "):
        LOADERS[name](folder)


@pytest.mark.parametrize("name", LOADERS)
def test_missing_weights_are_refused_instead_of_made_up(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = damaged_copy(folders[name], tmp_path / "holed")
    weights = load_file(folder / "model.safetensors")
    lost = min(key for key in weights if key.endswith("weight"))
    del weights[lost]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"holed: its weights must be those of .* has 1 missing"):
        LOADERS[name](folder)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("damage", ["more", "nan", "whole"])
def test_a_judge_of_other_weights_is_refused(
    name: str, damage: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = damaged_copy(folders[name], tmp_path / "spoilt")
    weights = load_file(folder / "model.safetensors")
    changed = min(key for key, value in weights.items() if value.is_floating_point() and value.ndim)
    if damage == "more":
        weights[f"{changed.partition('.')[0]}.of_another"] = torch.zeros(2)
    else:
        weights[changed] = weights[changed].long() if damage == "whole" else weights[changed] * torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    said = {"more": "1 unexpected: .*of_another", "nan": "1 not finite", "whole": r"1 of no type .*\(I64\)"}
    with pytest.raises(CheckpointError, match=rf"spoilt: its weights must be those of .*{said[damage]}"):
        LOADERS[name](folder)


def test_an_extractor_is_taken_out_of_a_network_with_a_head(
    extractor: Judge, extractor_folder: Path, pictures: np.ndarray, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = damaged_copy(extractor_folder, tmp_path / "classifier")
    weights = {f"resnet.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    weights |= {"classifier.1.weight": torch.zeros(2, 16), "classifier.1.bias": torch.zeros(2)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    np.testing.assert_array_equal(
        extract_features(pictures, load_extractor(folder), 8), extract_features(pictures, extractor, 8)
    )


def test_a_judge_of_the_hub_is_named_by_its_commit() -> None:
    with pytest.raises(CheckpointError, match=r"by its commit.*huggingface\.co/Intel/dpt-large/commits/main"):
        load_depth_judge("Intel/dpt-large")


def test_weights_of_another_architecture_are_refused(extractor_folder: Path, clip_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="describes a resnet model, a segformer model is needed"):
        load_segmenter(extractor_folder)
    with pytest.raises(CheckpointError, match="describes a clip model, a segformer model is needed"):
        load_segmenter(clip_folder)
    with pytest.raises(CheckpointError, match="describes a resnet model, a clip model is needed"):
        load_clip(extractor_folder)


def test_judges_of_landmarks_and_depth_are_refused_where_they_are_something_else(
    segmenter_folder: Path, extractor_folder: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"has 5 maps, a judge of landmarks has 69"):
        load_landmark_judge(segmenter_folder)
    with pytest.raises(CheckpointError, match=r"has 5 maps, a SegFormer that judges depth has one"):
        load_depth_judge(segmenter_folder)
    with pytest.raises(CheckpointError, match=r"a resnet model; a judge of depth is dpt, depth_anything or"):
        load_depth_judge(extractor_folder)
    with pytest.raises(CheckpointError, match="describes a resnet model, a segformer model is needed"):
        load_landmark_judge(extractor_folder)


def test_clip_without_a_tokenizer_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    folder = damaged_copy(clip_folder, tmp_path / "mute")
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=r"mute: a tokenizer needs tokenizer\.json or vocab\.json"):
        load_clip(folder)


@pytest.mark.parametrize("eos_token_id", [5, 2])  # 2: transformers takes the largest id instead
def test_clip_whose_end_token_is_not_the_tokenizers_is_refused(
    eos_token_id: int, clip_folder: Path, tmp_path: Path
) -> None:
    """Every prompt would be pooled at its first token, or at any word."""
    folder = damaged_copy(clip_folder, tmp_path / "endless")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = eos_token_id
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"endless: with text_config\.eos_token_id {eos_token_id} "):
        load_clip(folder)
