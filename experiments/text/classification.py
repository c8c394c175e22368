"""A linear head on an encoder's mean token, trained together with an adapter; and what it classifies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.text.arms import Arm
from experiments.text.encoder import embed, embed_all
from experiments.text.settings import Rates, Settings
from oft.errors import TrainingError
from oft.seeding import derive_seed, generator_for

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

HEAD_STD = 0.02
"""Spread of the head's initial weights, BERT's own."""
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True)
class Labelled:
    """Documents as a network takes them: ids of word pieces, and numbers of classes."""

    rows: Sequence[Sequence[int]]
    labels: Int64[Tensor, " n"]


def new_head(hidden_size: int, num_classes: int, seed: int) -> nn.Linear:
    """Return a linear head whose weights follow from ``seed``; its biases are zero."""
    head = nn.utils.skip_init(nn.Linear, hidden_size, num_classes)
    with torch.no_grad():
        head.weight.normal_(0.0, HEAD_STD, generator=generator_for("text", seed, "head"))
        head.bias.zero_()
    return head


def batch_places(num_documents: int, batch_size: int, steps: int, seed: int) -> Int64[Tensor, "steps batch"]:
    """Return which documents each step sees: passes over all of them, each in an order of its own."""
    generator = generator_for("text", seed, "batches")
    passes = -(-steps * batch_size // num_documents)
    order = torch.cat([torch.randperm(num_documents, generator=generator) for _ in range(passes)])
    return order[: steps * batch_size].view(steps, batch_size)


def train_classifier(
    model: nn.Module,
    arm: Arm,
    documents: Labelled,
    num_classes: int,
    settings: Settings,
    rates: Rates,
    steps: int,
    seed: int,
    on_step: Callable[[float], None] = lambda loss: None,
) -> nn.Linear:
    """Train a new head, and the arm's adapter with it, by cross-entropy with Adam; return the head.

    The encoder runs without dropout, as it does when it is judged.

    Args:
        steps: how many.
        seed: of the head and the order of documents, which no arm changes.
        on_step: is called with the loss of each step.

    Raises:
        TrainingError: the loss is no finite number any more.
    """
    from transformers.optimization import get_cosine_schedule_with_warmup

    config: Any = model.config
    head = new_head(config.hidden_size, num_classes, seed)
    groups: list[dict[str, Any]] = [{"params": list(head.parameters()), "lr": rates.head}]
    if arm.trained:
        groups.append({"params": list(arm.trained.values()), "lr": rates.adapter})
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup_share * steps), steps)
    trained = [parameter for group in groups for parameter in group["params"]]
    places = batch_places(len(documents.rows), settings.batch_size, steps, seed)
    for step, chosen in enumerate(places, 1):
        if arm.adapter is not None:
            arm.adapter.before_step(derive_seed("text", seed, step))
        with torch.set_grad_enabled(arm.adapter is not None):
            pooled = embed(model, [documents.rows[place] for place in chosen.tolist()])
        loss = F.cross_entropy(head(pooled), documents.labels[chosen])
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {loss.item()} at step {step}; lower the rates ({rates})")
        loss.backward()
        nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        if arm.adapter is not None:
            arm.adapter.after_step(step)
        optimizer.zero_grad()
        on_step(loss.item())
    if arm.adapter is not None:
        arm.adapter.after_training()
    return head


@torch.no_grad()
def logits_of(model: nn.Module, head: nn.Module, rows: Sequence[Sequence[int]]) -> Float[Tensor, "n classes"]:
    """Return the head's scores of each document."""
    logits: Tensor = head(embed_all(model, rows))
    return logits


def scores_of(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> dict[str, float]:
    """Return accuracy and macro F1 (the mean over classes of F1, 0 for a class without any document)."""
    from sklearn.metrics import f1_score

    predicted = logits.argmax(1)
    classes = list(range(logits.shape[1]))
    return {
        "accuracy": float((predicted == labels).double().mean()),
        "macro_f1": float(
            f1_score(labels.numpy(), predicted.numpy(), labels=classes, average="macro", zero_division=0)
        ),
    }
