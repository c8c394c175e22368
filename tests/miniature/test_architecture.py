"""The miniature networks: Stable Diffusion's shape, a tokenizer of the world's words, a bound on size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from miniature import architecture
from miniature.world.vocabulary import world_words
from oft.storage import read_json, sha256_file
from tests.conftest import ROOT

MINIATURE = ROOT / "data" / "models" / "miniature"


def test_every_word_of_the_world_is_one_token(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    built = architecture.build_tokenizer(world_words())
    built.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    for word in world_words():
        assert len(loaded(word).input_ids) == 3, word
    assert loaded("zebra crossing").input_ids == built("zebra crossing").input_ids
    assert len(loaded("zebra").input_ids) > 3
    assert loaded.unk_token_id not in loaded("zebra crossing").input_ids[1:-1]


def test_shapes_are_those_of_the_docstrings() -> None:
    tokenizer = architecture.build_tokenizer(world_words())
    pictures, latents = torch.zeros(1, 3, 64, 64), torch.zeros(1, 16, 8, 8)
    with torch.no_grad():
        vae = architecture.build_vae()
        assert vae.encode(pictures).latent_dist.mean.shape == latents.shape
        assert vae.decode(latents).sample.shape == pictures.shape
        tokens = tokenizer(["a house"], padding="max_length", return_tensors="pt").input_ids
        hidden = architecture.build_text_encoder(tokenizer)(tokens)[0]
        assert hidden.shape == (1, 32, 128)
        assert architecture.build_unet()(latents, 0, hidden).sample.shape == latents.shape
        assert architecture.build_segmenter(5)(pixel_values=pictures).logits.shape == (1, 5, 32, 32)
        assert architecture.build_landmark_judge()(pixel_values=pictures).logits.shape == (1, 69, 32, 32)
        assert architecture.build_depth_judge()(pixel_values=pictures).logits.shape == (1, 1, 32, 32)
        assert architecture.build_extractor().eval()(pictures).pooler_output.flatten(1).shape == (1, 96)
        clip = architecture.build_clip(tokenizer)(input_ids=tokens, pixel_values=pictures)
        assert clip.image_embeds.shape == clip.text_embeds.shape == (1, 64)


def test_the_denoiser_has_cross_attention_and_geglu() -> None:
    names = {name for name, _ in architecture.build_unet().named_modules()}
    assert any(name.endswith("attn2.to_k") for name in names)
    geglu = [m for name, m in architecture.build_unet().named_modules() if name.endswith("ff.net.0")]
    assert {type(module).__name__ for module in geglu} == {"GEGLU"}


def test_shipped_weights_are_small_half_precision_and_as_recorded() -> None:
    from safetensors import safe_open

    recorded = read_json(MINIATURE / "hashes.json")
    weights = sorted(MINIATURE.rglob("*.safetensors"))
    assert {path.relative_to(MINIATURE).as_posix() for path in weights} == set(recorded)
    assert sum(path.stat().st_size for path in weights) <= 40e6
    for path in weights:
        assert sha256_file(path) == recorded[path.relative_to(MINIATURE).as_posix()]
        with safe_open(path, "pt") as stored:
            dtypes = {stored.get_tensor(name).dtype for name in stored.keys()}  # noqa: SIM118
        assert dtypes <= {torch.float16, torch.int64}


@pytest.mark.parametrize(
    ("figure", "least"), [("psnr_db", 28), ("segmenter_miou", 0.85), ("classes_found_generated", 0.85)]
)
def test_the_shipped_networks_reach_their_quality(figure: str, least: float) -> None:
    assert read_json(MINIATURE / "quality.json")[figure] >= least


def test_the_shipped_tokenizer_is_the_one_that_is_built() -> None:
    from transformers import CLIPTokenizer

    built = architecture.build_tokenizer(world_words())
    for folder in (MINIATURE / "base" / "tokenizer", MINIATURE / "judges" / "clip"):
        shipped = CLIPTokenizer.from_pretrained(folder)
        assert shipped.get_vocab() == built.get_vocab()
        text = "a blue robot, seldom seen"
        assert shipped(text).input_ids == built(text).input_ids


def test_merges_follow_from_the_set_of_words_alone() -> None:
    words = list(world_words())
    assert architecture.whole_word_merges(words) == architecture.whole_word_merges(words[::-1] + words)
