from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.data.blip import caption_with_blip
from oft.errors import CheckpointError

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[DEC]",
    "a",
    "red",
    "house",
    "tree",
    "by",
    "the",
    "road",
]


@pytest.fixture(scope="module")
def blip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BLIP of a few thousand weights with a real tokenizer of 13 words."""
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("blip")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    shared = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={
            **shared,
            "vocab_size": len(WORDS),
            "encoder_hidden_size": 16,
            "max_position_embeddings": 16,
            "bos_token_id": 5,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "pad_token_id": 0,
            "initializer_range": 2.0,
        },
        vision_config={**shared, "image_size": 32, "patch_size": 8, "initializer_range": 2.0},
        projection_dim=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BlipForConditionalGeneration(config)
    network.save_pretrained(folder)
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), bos_token="[DEC]")
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def pictures(number: int) -> Iterator[tuple[str, Image.Image]]:
    rng = np.random.default_rng(0)
    for index in range(number):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        yield f"k{index}", Image.fromarray(coarse).resize((40 + index, 30), Image.Resampling.NEAREST)


def test_blip_captions_every_picture_whatever_the_batch(blip_folder: Path) -> None:
    whole = list(
        caption_with_blip(pictures(5), str(blip_folder), batch_size=5, num_beams=2, max_new_tokens=6)
    )
    assert [key for key, _ in whole] == [f"k{index}" for index in range(5)]
    words = {word for _, caption in whole for word in caption.split()}
    assert words and words <= set(WORDS[6:])
    assert len({caption for _, caption in whole}) > 1
    assert whole == list(
        caption_with_blip(pictures(5), str(blip_folder), batch_size=2, num_beams=2, max_new_tokens=6)
    )


def test_an_interrupted_captioning_goes_on_where_it_was(blip_folder: Path) -> None:
    options = {"batch_size": 2, "num_beams": 1, "max_new_tokens": 4}
    whole = dict(caption_with_blip(pictures(4), str(blip_folder), **options))  # type: ignore[arg-type]
    done = {"k0": "an earlier caption", "k2": whole["k2"]}
    rest = dict(caption_with_blip(pictures(4), str(blip_folder), done=done, **options))  # type: ignore[arg-type]
    assert rest == {"k1": whole["k1"], "k3": whole["k3"]}


def test_nothing_is_loaded_when_everything_is_done() -> None:
    done = {"k0": "x", "k1": "y"}
    assert not list(caption_with_blip(pictures(2), "nowhere/at-all", done=done))


def test_a_missing_folder_says_how_to_get_the_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere.*hf download Salesforce/blip"):
        list(caption_with_blip(pictures(1), str(tmp_path / "nowhere")))


def test_a_hub_out_of_reach_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"nobody/no-such-blip.*Without a network"):
        list(caption_with_blip(pictures(1), "nobody/no-such-blip"))


def test_weights_of_another_architecture_are_refused(blip_folder: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(blip_folder, tmp_path / "blip")
    weights = load_file(blip_folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "crossattention" not in name}
    save_file(kept, tmp_path / "blip" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"no weights for \d+ tensors"):
        list(caption_with_blip(pictures(1), str(tmp_path / "blip")))
    (tmp_path / "blip" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot load the BLIP captioner"):
        list(caption_with_blip(pictures(1), str(tmp_path / "blip")))
