"""Where a base comes from: whatever its form, what is placed loads as any base does."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oft.errors import CheckpointError
from oft.models import placing
from oft.models.base import check_compatibility, load_base, place_base, read_card
from oft.models.placing import place
from oft.models.prompts import encode_prompts
from oft.models.vocabulary import END_PAD, write_tokenizer
from oft.settings.training import Base as Settings
from oft.storage import read_json, sha256_file, write_json
from tests.conftest import ROOT
from tests.oft.models.ldm_layout import checkpoint, read_configs, with_averages, write_tiny_configs

MINIATURE = ROOT / "data" / "models" / "miniature" / "base"
COMMIT = "0123456789abcdef" * 2 + "01234567"
HUB_ID = f"owner/model@{COMMIT}"


def settings(source: Path | str, **changes: Any) -> Settings:
    values = {"variant": None, "config": "sd15", "tokenizer": None, "use_ema": True}
    return Settings.model_validate({**values, "source": str(source), **changes})


@pytest.fixture(scope="session")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_configs(tmp_path_factory.mktemp("configs"))


@pytest.fixture(scope="session")
def state(configs: Path) -> dict[str, Tensor]:
    return checkpoint(read_configs(configs), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_file_of_latent_diffusion_becomes_a_base(
    configs: Path, state: dict[str, Tensor], tmp_path: Path, suffix: str
) -> None:
    file, target = tmp_path / f"model{suffix}", tmp_path / "base"
    if suffix == ".ckpt":
        torch.save({"state_dict": state, "global_step": 7}, file)
    else:
        save_file(state, file)
    card = place(settings(file, config=str(configs)), target)
    assert card == read_card(target)
    assert card["origin"] == file.name and card["source_sha256"] == sha256_file(file)

    base = load_base(target)
    prefix = "model.diffusion_model."
    assert torch.equal(base.unet.conv_in.weight, state[f"{prefix}input_blocks.0.0.weight"])
    assert torch.equal(base.unet.conv_out.weight, state[f"{prefix}out.2.weight"])
    last = "transformer_blocks.0.ff.net.0.proj.weight"
    assert torch.equal(
        base.unet.up_blocks[1].attentions[1].get_parameter(last), state[f"{prefix}output_blocks.3.1.{last}"]
    )
    key = state["first_stage_model.decoder.mid.attn_1.k.weight"][:, :, 0, 0]
    assert torch.equal(base.vae.decoder.mid_block.attentions[0].to_k.weight, key)
    fc1 = "encoder.layers.1.mlp.fc1.weight"
    text = base.text_encoder.state_dict()
    assert torch.equal(text[fc1], state[f"cond_stage_model.transformer.text_model.{fc1}"])


def test_the_pipeline_of_diffusers_loads_a_converted_file_and_it_equals_their_conversion(
    configs: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    file = tmp_path / "model.safetensors"
    save_file(state, file)
    place(settings(file, config=str(configs)), tmp_path / "base")
    ours = StableDiffusionPipeline.from_pretrained(tmp_path / "base")
    index = MINIATURE / "model_index.json"
    config = Path(shutil.copytree(configs, tmp_path / "config"))
    shutil.copy(index, config)
    theirs = StableDiffusionPipeline.from_single_file(
        str(file), config=str(config), local_files_only=True, safety_checker=None
    )
    for part in ("unet", "vae", "text_encoder"):
        expected = getattr(theirs, part).state_dict()
        for name, value in getattr(ours, part).state_dict().items():
            assert torch.equal(value, expected[name]), name


def test_a_file_of_xl_is_what_diffusers_makes_of_it(xl_folder: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    ours = StableDiffusionXLPipeline.from_pretrained(xl_folder)
    file = xl_folder.parent / "tiny_xl.safetensors"
    config = Path(shutil.copytree(xl_folder.parent / "configs", xl_folder.parent / "diffusers_configs"))
    shutil.copy(xl_folder / "model_index.json", config)
    theirs = StableDiffusionXLPipeline.from_single_file(str(file), config=str(config), local_files_only=True)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        expected = getattr(theirs, part).state_dict()
        placed = getattr(ours, part).state_dict()
        assert placed.keys() == expected.keys()
        for name, value in placed.items():
            assert torch.equal(value, expected[name]), name
    assert [ours.tokenizer.pad_token_id, ours.tokenizer_2.pad_token_id] == [49407, 0]
    assert ours.config.force_zeros_for_empty_prompt is True


def test_openclips_fused_projections_and_its_matrix_of_the_pooled_find_their_places(xl_folder: Path) -> None:
    state = load_file(xl_folder.parent / "tiny_xl.safetensors")
    encoder = load_base(xl_folder).text_encoder_2
    assert encoder is not None
    prefix = "conditioner.embedders.1.model."
    for layer, block in enumerate(encoder.text_model.encoder.layers):
        fused = state[f"{prefix}transformer.resblocks.{layer}.attn.in_proj_weight"]
        parts = (block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj)
        assert torch.equal(torch.cat([part.weight for part in parts]), fused)
    # OpenCLIP multiplies from the other side: x @ text_projection.
    assert torch.equal(encoder.text_projection.weight.T, state[f"{prefix}text_projection"])


def test_a_folder_of_xl_is_placed_whole_or_not_at_all(xl_folder: Path, tmp_path: Path) -> None:
    card = place(settings(xl_folder), tmp_path / "base")
    assert card["hash"] == read_card(xl_folder)["hash"]
    assert set(card["parts"]) >= {"text_encoder_2", "tokenizer_2"}
    base = load_base(tmp_path / "base")
    assert base.zeroes_empty_prompts and len(base.text_encoders) == len(base.tokenizers) == 2

    source = Path(shutil.copytree(xl_folder, tmp_path / "source"))
    index = read_json(source / "model_index.json")
    write_json(source / "model_index.json", {**index, "force_zeros_for_empty_prompt": False})
    place(settings(source), tmp_path / "other")
    assert not load_base(tmp_path / "other").zeroes_empty_prompts

    shutil.rmtree(source / "tokenizer_2")
    with pytest.raises(CheckpointError, match=r"a Stable Diffusion XL checkpoint .* tokenizer_2/ is missing"):
        place(settings(source), tmp_path / "again")
    shutil.rmtree(source / "text_encoder_2")
    with pytest.raises(CheckpointError, match=r"addition_embed_type text_time; .* which has text_encoder_2/"):
        place(settings(source), tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (
            "text_encoder_2",
            {"eos_token_id": 7},
            "pools at token 7, and tokenizer 2 ends prompts w",
        ),
        ("vae", {"latents_mean": [0.0] * 4}, "latents_mean is set"),
        ("unet", {"addition_embed_type": "text"}, "must be text_time, and is text"),
    ],
)
def test_an_xl_whose_parts_say_otherwise_is_refused(
    xl_folder: Path, tmp_path: Path, part: str, change: dict[str, Any], message: str
) -> None:
    base = load_base(xl_folder)
    config = getattr(base, part).config
    if part == "text_encoder_2":
        config.eos_token_id = change["eos_token_id"]
    else:
        getattr(base, part).register_to_config(**change)
    with pytest.raises(CheckpointError, match=message):
        check_compatibility(base, xl_folder)


def test_a_file_is_taken_by_its_content_and_names_that_torch_compile_changed(
    configs: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "model.SAFETENSORS"
    compiled = {
        name.replace("model.diffusion_model.", "model.diffusion_model._orig_mod."): v
        for name, v in state.items()
    }
    save_file(compiled, file)
    card = place(settings(file, config=str(configs)), tmp_path / "base")
    assert card["unet_weights"].startswith("the only weights")


def test_values_that_are_no_numbers_are_not_placed(
    configs: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    name = "first_stage_model.decoder.conv_in.bias"
    save_file({**state, name: torch.full_like(state[name], torch.nan)}, tmp_path / "model.ckpt")
    with pytest.raises(
        CheckpointError, match=r"model\.ckpt: its vae must .*1 not finite .*decoder\.conv_in\.bias"
    ):
        place(settings(tmp_path / "model.ckpt", config=str(configs)), tmp_path / "base")
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("use_ema", [True, False])
def test_averages_are_taken_if_asked_for(
    configs: Path, state: dict[str, Tensor], tmp_path: Path, use_ema: bool
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(with_averages(state), file)
    place(settings(file, config=str(configs), use_ema=use_ema), tmp_path / "base")
    placed = load_file(tmp_path / "base" / "unet" / "diffusion_pytorch_model.safetensors")
    expected = state["model.diffusion_model.input_blocks.0.0.weight"] + (1 if use_ema else 0)
    assert torch.equal(placed["conv_in.weight"], expected)


def test_half_precision_is_kept_in_the_file_and_loaded_as_float32(
    configs: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    save_file({n: v.half() if v.is_floating_point() else v for n, v in state.items()}, file)
    place(settings(file, config=str(configs)), tmp_path / "base")
    placed = load_file(tmp_path / "base" / "vae" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in placed.values()} == {torch.float16}
    assert {value.dtype for value in load_base(tmp_path / "base").vae.parameters()} == {torch.float32}


def test_one_file_is_enough_its_vocabulary_ships_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sd21`` stands here for networks of its shapes' kind, made tiny; its tokenizer is the real one."""
    configs = write_tiny_configs(tmp_path / "configs", vocab_size=49408, max_position_embeddings=77)
    shutil.rmtree(configs / "tokenizer")
    monkeypatch.setattr(
        placing, "write_configs", lambda name, folder: shutil.copytree(configs, folder, dirs_exist_ok=True)
    )
    file = tmp_path / "model.safetensors"
    save_file(checkpoint(read_configs(configs), torch.Generator().manual_seed(0)), file)
    place(settings(file, config="sd21"), tmp_path / "base")
    base = load_base(tmp_path / "base")
    assert len(base.tokenizer) == 49408 and base.tokenizer.pad_token_id == 0
    assert encode_prompts(base, ["a cat", "ein Käfer"]).hidden_states.shape == (2, 77, 16)

    # One that is named takes its place.
    write_tokenizer(tmp_path / "other" / "tokenizer", END_PAD)
    place(settings(file, config="sd21", tokenizer=str(tmp_path / "other")), tmp_path / "again")
    assert load_base(tmp_path / "again").tokenizer.pad_token_id == 49407


def test_a_config_folder_without_a_part_is_named(
    configs: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(state, file)
    config = Path(shutil.copytree(configs, tmp_path / "config"))
    shutil.rmtree(config / "vae")
    with pytest.raises(CheckpointError, match=r"config/vae: base\.config .* has no vae/ with the files"):
        place(settings(file, config=str(config)), tmp_path / "base")
    shutil.rmtree(Path(shutil.copytree(configs, tmp_path / "bare")) / "tokenizer")
    with pytest.raises(
        CheckpointError, match=r"bare/tokenizer: base\.config .* has no tokenizer/ with the f"
    ):
        place(settings(file, config=str(tmp_path / "bare")), tmp_path / "base")
    with pytest.raises(
        CheckpointError,
        match=r"base\.config \(sd3\): no such folder; it must be sd15, sd21, sd21-base, sdxl",
    ):
        place(settings(file, config="sd3"), tmp_path / "base")


@pytest.mark.parametrize(
    "source", ["nowhere", "owner/name", "owner/name@main", "owner/name@0123abc", f"owner/name/more@{COMMIT}"]
)
def test_a_source_that_names_nothing_shows_the_forms_there_are(source: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must be miniature, a folder.*owner/name@<commit, 40 hex"):
        place(settings(source), tmp_path / "base")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"model\.zip\): must be .*\.ckpt or \.safetensors"):
        place(settings(tmp_path / "model.zip"), tmp_path / "base")


def fake_hub(repository: Path, cache: Path) -> Any:
    """Return what stands in for huggingface_hub.snapshot_download: it "fetches" from a local folder."""

    def snapshot_download(repo_id: str, *, revision: str, allow_patterns: list[str]) -> str:
        assert (repo_id, revision) == ("owner/model", COMMIT)
        for path in repository.rglob("*"):
            name = path.relative_to(repository).as_posix()
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, cache / name)
        return str(cache)

    return snapshot_download


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_the_hub_gives_one_set_of_weights_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str | None
) -> None:
    import huggingface_hub

    repository, cache = Path(shutil.copytree(MINIATURE, tmp_path / "repository")), tmp_path / "cache"
    for path in sorted(repository.rglob("*.safetensors")):
        shutil.copy(path, path.with_name(f"{path.stem}.fp16.safetensors"))
        shutil.copy(path, path.with_name(f"{path.stem}.non_ema.safetensors"))
        shutil.copy(path, path.with_name(f"{path.stem}.bin"))
    (repository / "safety_checker").mkdir()
    (repository / "v1-5-pruned.ckpt").touch()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake_hub(repository, cache))
    card = place(settings(HUB_ID, variant=variant), tmp_path / "base")
    assert card["origin"] == HUB_ID
    assert len(list(cache.rglob("*.safetensors"))) == 3 and not (cache / "v1-5-pruned.ckpt").exists()
    names = {path.name for path in (tmp_path / "base").rglob("*.safetensors")}
    assert names == {"diffusion_pytorch_model.safetensors", "model.safetensors"}
    plain = place_base(MINIATURE, tmp_path / "plain", "miniature")
    assert card["hash"] == plain["hash"]


def test_the_hub_gives_all_parts_of_an_xl_and_the_configurations_for_a_file(
    xl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    for name, source in (("base", HUB_ID), ("again", str(xl_folder.parent / "tiny_xl.safetensors"))):
        cache = tmp_path / f"cache_{name}"
        monkeypatch.setattr(huggingface_hub, "snapshot_download", fake_hub(xl_folder, cache))
        card = place(settings(source, config=HUB_ID), tmp_path / name)
        assert card["hash"] == read_card(xl_folder)["hash"]
        assert len(list(cache.rglob("*.safetensors"))) == (4 if name == "base" else 0)
        assert load_base(tmp_path / name).tokenizer_2 is not None


def test_a_hub_that_does_not_answer_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(*arguments: Any, **options: Any) -> str:
        raise LocalEntryNotFoundError("Cannot find the requested files in the local cache.\nMore.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(
        CheckpointError,
        match=r"base\.source \(owner/model@.*Cannot find.*copy the folder here and set base\.source",
    ):
        place(settings(HUB_ID), tmp_path / "base")


def test_a_variant_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"unet: base\.variant is fp16.*variant to null"):
        place(settings(MINIATURE, variant="fp16"), tmp_path / "base")
