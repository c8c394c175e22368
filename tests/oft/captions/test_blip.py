from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.captions.blip import BlipCaptioner
from oft.errors import CheckpointError
from oft.settings.data import Blip

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


def captioner(model: Path | str, max_new_tokens: int = 6) -> BlipCaptioner:
    settings = Blip(model=str(model), batch_size=8, num_beams=2, max_new_tokens=max_new_tokens)
    return BlipCaptioner(settings, "cpu")


def pictures(number: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(number)]
    return [
        Image.fromarray(colours).resize((40 + index, 30), Image.Resampling.NEAREST)
        for index, colours in enumerate(coarse)
    ]


def test_a_caption_does_not_depend_on_the_other_pictures_of_its_batch(blip_folder: Path) -> None:
    describe = captioner(blip_folder)
    whole = describe(pictures(5))
    assert len(whole) == 5 and len(set(whole)) > 1
    words = {word for caption in whole for word in caption.split()}
    assert words and words <= set(WORDS[6:])
    assert whole == [caption for picture in pictures(5) for caption in describe([picture])]


def test_captions_have_no_more_tokens_than_asked_for(blip_folder: Path) -> None:
    for most in (1, 3):
        captions = captioner(blip_folder, max_new_tokens=most)(pictures(8))
        assert max(len(caption.split()) for caption in captions) == most


def test_a_checkpoint_in_half_precision_is_computed_in_fp32_on_a_processor(
    blip_folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(blip_folder, tmp_path / "blip")
    weights = load_file(blip_folder / "model.safetensors")
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    save_file(halved, tmp_path / "blip" / "model.safetensors", metadata={"format": "pt"})
    _, network = captioner(tmp_path / "blip")._loaded
    assert {str(parameter.dtype) for parameter in network.parameters()} == {"torch.float32"}


def test_nothing_is_loaded_before_there_is_a_picture() -> None:
    assert captioner("nowhere/at-all")


def test_a_missing_folder_says_how_to_get_the_model(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"^blip\.model \(.*nowhere\): no such folder; it must be a folder"
    ):
        captioner(tmp_path / "nowhere")(pictures(1))


def test_a_hub_out_of_reach_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "0" * 40
    with pytest.raises(
        CheckpointError, match=rf"nobody/blip@{commit}\): cannot be fetched .*Without a network"
    ):
        captioner(f"nobody/blip@{commit}")(pictures(1))


def test_pickled_weights_are_refused_without_being_opened(blip_folder: Path, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "opened",)  # type: ignore[return-value]

    shutil.copytree(blip_folder, tmp_path / "blip")
    (tmp_path / "blip" / "model.safetensors").unlink()
    (tmp_path / "blip" / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="pickles and code are refused"):
        captioner(tmp_path / "blip")(pictures(1))
    assert not (tmp_path / "opened").exists()


def test_weights_of_another_architecture_are_refused(blip_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(blip_folder, tmp_path / "blip")
    weights = load_file(blip_folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "crossattention" not in name}
    save_file(kept, tmp_path / "blip" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"blip: its weights must be .* \d+ missing: .*crossattention"):
        captioner(tmp_path / "blip")(pictures(1))
    (tmp_path / "blip" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(
        CheckpointError, match=r"blip: cannot be loaded as BlipForConditionalGeneration .*set blip\.model"
    ):
        captioner(tmp_path / "blip")(pictures(1))
