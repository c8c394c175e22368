"""The encoder is the file's, and padding is no part of a document."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch

from experiments.text.encoder import build_encoder, cosine_similarities, embed, embed_all, tokenise
from oft.errors import CheckpointError
from tests.experiments.text.conftest import write_model


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    model = write_model()
    return dict(zip(("config", "tokenizer", "weights"), model.values(), strict=True))


def test_all_weights_are_the_files(files: dict[str, bytes]) -> None:
    weights = safetensors.torch.load(files["weights"])
    for name, value in build_encoder(files).model.named_parameters():
        assert torch.equal(value, weights[name]) and not value.requires_grad


def test_a_missing_weight_and_a_damaged_file_are_refused(files: dict[str, bytes]) -> None:
    weights = safetensors.torch.load(files["weights"])
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(CheckpointError, match=r"1 missing: encoder\.layer\.1\.output\.dense\.bias"):
        build_encoder({**files, "weights": safetensors.torch.save(weights)})
    for name in files:
        with pytest.raises(CheckpointError, match="must be readable"):
            build_encoder({**files, name: b"\x80damaged"})


def test_an_embedding_does_not_depend_on_what_it_shares_a_pass_with(files: dict[str, bytes]) -> None:
    encoder = build_encoder(files)
    rows = tokenise(encoder, ["wheat", "corn rate bank ship port", "net loss", "wheat corn " * 9], 8)
    assert [len(row) for row in rows] == [3, 7, 4, 8]
    alone = torch.cat([embed(encoder.model, [row]) for row in rows])
    assert torch.allclose(embed_all(encoder.model, rows), alone, atol=1e-5)


def test_an_embedding_is_what_bert_s_formulas_make_of_the_file(files: dict[str, bytes]) -> None:
    encoder = build_encoder(files)
    (row,) = tokenise(encoder, ["corn rate bank ship port"], 8)
    assert np.allclose(embed(encoder.model, [row]).numpy()[0], bert_by_hand(files, row), atol=1e-5)


def bert_by_hand(files: dict[str, bytes], row: list[int]) -> np.ndarray:
    """Return the mean token of BERT (arXiv 1810.04805; post-norm blocks, erf GELU) in NumPy's float64."""
    config = json.loads(files["config"])
    loaded = safetensors.torch.load(files["weights"])
    weights = {name: value.double().numpy() for name, value in loaded.items()}
    heads, erf = config["num_attention_heads"], np.vectorize(math.erf)

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config.get("layer_norm_eps", 1e-12))
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    places = weights["embeddings.position_embeddings.weight"][: len(row)]
    words, types = (weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "token_type"))
    x = norm(words[row] + places + types[0], "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            linear(x, f"{layer}.attention.self.{part}").reshape(len(row), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1]))
        mixed = (scores / scores.sum(-1, keepdims=True) @ value).swapaxes(0, 1).reshape(len(row), -1)
        x = norm(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean: np.ndarray = x.mean(0)
    return mean


def test_similarities_are_the_cosines_of_all_pairs() -> None:
    embeddings = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    expected = [
        np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
        for place, a in enumerate(embeddings.numpy())
        for b in embeddings.numpy()[place + 1 :]
    ]
    assert np.allclose(cosine_similarities(embeddings).numpy(), expected, atol=1e-6)
