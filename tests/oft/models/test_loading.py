"""Networks are loaded whole or not at all: nothing is made up, left out or cast."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oft.errors import CheckpointError
from oft.models.loading import load_network, load_tokenizer
from tests.oft.conftest import tiny_unet

State = dict[str, Tensor]
REMEDY = "fetch it again"


def save_text_encoder(folder: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=16
    )
    CLIPTextModel(config).save_pretrained(folder)


def network_classes() -> dict[str, Any]:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    return {"unet": UNet2DConditionModel, "text_encoder": CLIPTextModel}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny network of diffusers and one of transformers; of each the file of weights."""
    folder = tmp_path_factory.mktemp("networks")
    tiny_unet().save_pretrained(folder / "unet")
    save_text_encoder(folder / "text_encoder")
    return {
        "unet": folder / "unet" / "diffusion_pytorch_model.safetensors",
        "text_encoder": folder / "text_encoder" / "model.safetensors",
    }


def lose(state: State, name: str) -> None:
    del state[name]


def add(state: State, name: str) -> None:
    state["of_another"] = torch.zeros(2)


def reshape(state: State, name: str) -> None:
    state[name] = torch.zeros(*state[name].shape, 2)


def spoil(state: State, name: str) -> None:
    state[name].view(-1)[0] = torch.nan


def overflow(state: State, name: str) -> None:
    state[name].view(-1)[-1] = torch.inf


def make_whole(state: State, name: str) -> None:
    state[name] = state[name].long()


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lose, "1 missing: .*bias"),
        (add, "1 unexpected: of_another"),
        (reshape, r"bias.*"),
        (spoil, r"1 not finite \(NaN or Inf\): .*bias"),
        (overflow, r"1 not finite \(NaN or Inf\): .*bias"),
        (make_whole, r"1 of no type float16, .*bias \(I64\)"),
    ],
)
def test_a_damaged_network_is_refused_by_its_weights(
    saved: dict[str, Path], tmp_path: Path, part: str, damage: Callable[[State, str], None], said: str
) -> None:
    file = tmp_path / saved[part].name
    (tmp_path / "config.json").write_bytes(saved[part].with_name("config.json").read_bytes())
    state = load_file(saved[part])
    damage(state, next(name for name in sorted(state) if name.endswith("bias")))
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"^{tmp_path}: .*{said}.*; {REMEDY}$"):
        load_network(network_classes()[part], tmp_path, REMEDY)


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_whole_networks_come_in_single_precision_frozen(
    saved: dict[str, Path], tmp_path: Path, part: str
) -> None:
    state = {name: value.half() for name, value in load_file(saved[part]).items()}
    # Once a buffer of CLIP's, in every file of that time.
    more = {"embeddings.position_ids": torch.arange(77)[None]} if part == "text_encoder" else {}
    (tmp_path / "config.json").write_bytes(saved[part].with_name("config.json").read_bytes())
    save_file(state | more, tmp_path / saved[part].name, metadata={"format": "pt"})
    network = load_network(network_classes()[part], tmp_path, REMEDY)
    assert not network.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in network.parameters())
    loaded = network.state_dict()
    assert sum(value.numel() for value in loaded.values()) == sum(value.numel() for value in state.values())


def name_a_base(folder: Path, elsewhere: Path) -> str:
    config = {"peft_type": "LORA", "base_model_name_or_path": str(elsewhere), "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return r"adapter_config\.json: an adapter must not lie beside the weights"


def name_another_file(folder: Path, elsewhere: Path) -> str:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": "w.safetensors"}))
    return r"config\.json: transformers_weights must not name another file"


def name_odd_files(folder: Path, elsewhere: Path) -> str:
    return index_under(folder, "weights.safetensors")


def name_files_elsewhere(folder: Path, elsewhere: Path) -> str:
    return index_under(folder, str(elsewhere / "model.safetensors"))


def name_the_folder_above(folder: Path, elsewhere: Path) -> str:
    return index_under(folder, "../model.safetensors")


def index_under(folder: Path, name: str) -> str:
    """Give the weights another name, which an index of them says."""
    (weights,) = folder.glob("*.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(weights), name)}
    (folder / f"{weights.name}.index.json").write_text(json.dumps(index))
    weights.rename(folder / name)
    return rf"{weights.name}\.index\.json: must name files beside it such as .*, got {name[:80]!r}"


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
@pytest.mark.parametrize(
    "point_elsewhere",
    [name_a_base, name_another_file, name_odd_files, name_files_elsewhere, name_the_folder_above],
)
def test_a_folder_that_names_other_weights_than_its_own_is_refused(
    saved: dict[str, Path], tmp_path: Path, part: str, point_elsewhere: Callable[[Path, Path], str]
) -> None:
    folder = tmp_path / part
    shutil.copytree(saved[part].parent, folder)
    said = point_elsewhere(folder, tmp_path)
    with pytest.raises(CheckpointError, match=rf"^{folder}/{said}.*{REMEDY}$"):
        load_network(network_classes()[part], folder, REMEDY)


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_weights_in_several_files_are_loaded_and_looked_at(
    saved: dict[str, Path], tmp_path: Path, part: str
) -> None:
    network_class = network_classes()[part]
    folder = tmp_path / part
    network_class.from_pretrained(saved[part].parent).save_pretrained(folder, max_shard_size="4KB")
    assert len(list(folder.glob("*.safetensors"))) > 1 and list(folder.glob("*.index.json"))
    loaded = load_network(network_class, folder, REMEDY).state_dict()
    whole = load_network(network_class, saved[part].parent, REMEDY).state_dict()
    assert loaded.keys() == whole.keys() and all(torch.equal(loaded[name], whole[name]) for name in whole)
    shard = min(folder.glob("*.safetensors"))
    save_file({key: value.long() for key, value in load_file(shard).items()}, shard, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"of no type float16, .*I64"):
        load_network(network_class, folder, REMEDY)


def test_a_folder_without_a_vocabulary_is_no_tokenizer(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match=r"needs tokenizer\.json or vocab\.json, and has neither; fetch"
    ):
        load_tokenizer(CLIPTokenizer, tmp_path, REMEDY)
