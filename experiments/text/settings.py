"""How long, on how much and at which rates the arms are trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oft.errors import ParamsError
from oft.storage import read_json

RATES = Path(__file__).with_name("rates.json")
GRID = (1e-4, 5e-4, 2.5e-3, 1.25e-2)
"""Adam's peak rates that are tried, for the head alone and for every adapter: factors of five apart."""


@dataclass(frozen=True)
class Settings:
    """What all arms share.

    Attributes:
        steps: optimizer steps of a training.
        grid_steps: those of a training that a rate is judged by.
        batch_size: documents of a step.
        max_tokens: what a document is cut to, [CLS] and [SEP] among them.
        warmup_share: of the steps, over which the rates rise; from there they fall to zero along a cosine.
        num_validation: documents of the training split that rates are chosen by.
        num_test: documents of the test split that are classified.
        num_similar: documents of the other collection's part of the test split whose similarities are
            compared.
    """

    steps: int = 40
    grid_steps: int = 20
    batch_size: int = 16
    max_tokens: int = 48
    warmup_share: float = 0.1
    num_validation: int = 200
    num_test: int = 400
    num_similar: int = 200

    def __post_init__(self) -> None:
        for name in ("steps", "grid_steps", "batch_size", "num_validation", "num_test"):
            if getattr(self, name) < 1:
                raise ParamsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 2 <= self.num_similar <= self.num_test:
            raise ParamsError(f"num_similar must be 2 to num_test ({self.num_test}), got {self.num_similar}")
        if self.max_tokens < 3:
            raise ParamsError(
                f"max_tokens must leave room for a word piece, 3 or more, got {self.max_tokens}"
            )


@dataclass(frozen=True)
class Rates:
    """Adam's peak rates of a training: the head's, and the adapter's, which the head alone has no use for."""

    head: float
    adapter: float


def read_rates(corpus: str, arm: str, source: Path = RATES) -> Rates:
    """Return the rates that the grid chose for an arm on a collection.

    Raises:
        ParamsError: the file has none.
    """
    try:
        chosen = read_json(source)["chosen"][corpus][arm]
        return Rates(float(chosen["head"]), float(chosen["adapter"]))
    except (OSError, ValueError, LookupError, TypeError) as fault:
        raise ParamsError(
            f"{source}: must hold the rates of {arm} on {corpus}, and does not ({fault!r}); write it with "
            "python -m experiments.text rates"
        ) from fault
