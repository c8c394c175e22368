"""Training is repeatable, sees the same documents in every arm, and learns."""

from __future__ import annotations

import pytest
import torch

from experiments.text.arms import put_on
from experiments.text.classification import batch_places, logits_of, scores_of, train_classifier
from experiments.text.inputs import read_inputs
from experiments.text.settings import Rates
from oft.errors import TrainingError
from tests.experiments.text.conftest import World


def test_each_pass_sees_every_document_once_in_an_order_of_its_own() -> None:
    places = batch_places(10, 4, 5, seed=0).flatten()
    assert places[:10].sort().values.tolist() == places[10:].sort().values.tolist() == list(range(10))
    assert places[:10].tolist() != places[10:].tolist()
    assert not torch.equal(places.view(5, 4), batch_places(10, 4, 5, seed=1))


def test_a_training_repeats_itself_and_learns(world: World) -> None:
    inputs = read_inputs(world.settings, world.wheels, pins=world.pins)
    documents = inputs.train["r8"]
    losses: list[float] = []
    found = []
    for _ in range(2):
        model = inputs.copy_model()
        arm = put_on(model, "oft", seed=3)
        head = train_classifier(
            model, arm, documents, 3, world.settings, Rates(3e-2, 1e-2), 12, 3, losses.append
        )
        found.append(logits_of(model, head, documents.rows))
    assert torch.equal(*found)
    assert scores_of(found[0], documents.labels)["accuracy"] > 0.9
    assert losses[11] < losses[0] / 2


def test_a_loss_that_is_no_number_ends_the_training(world: World) -> None:
    inputs = read_inputs(world.settings, world.wheels, pins=world.pins)
    model = inputs.copy_model()
    arm = put_on(model, "none", seed=0)
    with torch.no_grad():
        model.get_parameter("embeddings.LayerNorm.bias").fill_(torch.nan)
    with pytest.raises(TrainingError, match="the loss is nan at step 1; lower the rates"):
        train_classifier(model, arm, inputs.train["r8"], 3, world.settings, Rates(1e-2, 1e-2), 3, 0)


def test_a_class_that_is_never_found_counts_in_macro_f1() -> None:
    logits = torch.eye(3)[torch.tensor([0, 0, 1, 1])]
    scores = scores_of(logits, torch.tensor([0, 0, 1, 2]))
    assert scores["accuracy"] == 0.75
    assert scores["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
