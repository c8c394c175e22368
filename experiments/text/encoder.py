"""The sentence encoder: a BERT of transformers from the files of its wheel, and the mean of its tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oft.errors import CheckpointError
from oft.weights import check_weights

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

UNUSED = ("pooler.", "embeddings.position_ids")
"""What the file has beyond the encoder: a head over the first token, and a list of whole numbers."""

EVALUATION_BATCH = 32
REMEDY = "use the wheel that wheels.json pins"


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder.

    Attributes:
        model: a ``BertModel`` without pooler, frozen, in evaluation mode: no dropout, in training neither.
        tokenizer: makes word pieces of texts.
    """

    model: nn.Module
    tokenizer: Any


def build_encoder(files: Mapping[str, bytes]) -> Encoder:
    """Return the encoder of the wheel's ``config``, ``tokenizer`` and ``weights`` (safetensors).

    Raises:
        CheckpointError: a file is damaged, or the weights are not those of the model in ``config``.
    """
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    try:
        config = BertConfig(**json.loads(files["config"]))
        tokenizer = Tokenizer.from_str(files["tokenizer"].decode("utf-8"))
        weights = safetensors.torch.load(files["weights"])
    except Exception as fault:  # tokenizers raises Exception itself
        raise CheckpointError(f"the encoder's files must be readable: {fault}; {REMEDY}") from fault
    tokenizer.no_padding()
    model = BertModel(config, add_pooling_layer=False)
    own = {name: value for name, value in weights.items() if not name.startswith(UNUSED)}
    check_weights("the encoder", dict(model.named_parameters()), own, REMEDY)
    model.load_state_dict(own, strict=False)  # buffers are made by the model; check_weights has seen the rest
    return Encoder(model.eval().requires_grad_(False), tokenizer)


def tokenise(encoder: Encoder, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Return the ids of each text's word pieces, [CLS] and [SEP] among them, cut to ``max_tokens``."""
    encoder.tokenizer.enable_truncation(max_tokens)
    # A word has a piece at least: what stands behind so many words would be cut off again.
    beginnings = [" ".join(text.split(maxsplit=max_tokens)[:max_tokens]) for text in texts]
    return [encoding.ids for encoding in encoder.tokenizer.encode_batch(beginnings)]


def pad(rows: Sequence[Sequence[int]]) -> tuple[Int64[Tensor, "n tokens"], Int64[Tensor, "n tokens"]]:
    """Return ids, 0 ([PAD]) behind each row's own, and the mask that is 1 over its own."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
        mask[place, : len(row)] = 1
    return ids, mask


def mean_of_tokens(
    hidden: Float[Tensor, "n tokens hidden"], mask: Int64[Tensor, "n tokens"]
) -> Float[Tensor, "n hidden"]:
    """Return the mean over each row's own tokens (Reimers and Gurevych, arXiv 1908.10084, section 3)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def embed(model: nn.Module, rows: Sequence[Sequence[int]]) -> Float[Tensor, "n hidden"]:
    """Return the mean of the last layer's tokens for each row of ids, in one pass, in the autograd graph."""
    ids, mask = pad(rows)
    return mean_of_tokens(model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


@torch.no_grad()
def embed_all(model: nn.Module, rows: Sequence[Sequence[int]]) -> Float[Tensor, "n hidden"]:
    """Return ``embed`` of any number of rows, without gradient; rows of like length share a pass."""
    order = sorted(range(len(rows)), key=lambda place: (len(rows[place]), place))
    found: list[Tensor | None] = [None] * len(rows)
    for places in _chunks(order, EVALUATION_BATCH):
        for place, value in zip(places, embed(model, [rows[place] for place in places]), strict=True):
            found[place] = value
    return torch.stack([value for value in found if value is not None])


def cosine_similarities(embeddings: Float[Tensor, "n hidden"]) -> Float[Tensor, " pairs"]:
    """Return the cosine of every pair i < j of rows."""
    unit = F.normalize(embeddings.double(), dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), 1)
    return (unit @ unit.T)[first, second]


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
