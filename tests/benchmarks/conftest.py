"""A transformer block small enough to step in milliseconds, with all nine target layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.architectures import make_frozen, transformer_block
from benchmarks.cases import Case
from benchmarks.variants import Variant, all_variants

CPU = torch.device("cpu")
WIDTH, TOKENS, CONTEXT_TOKENS, BATCH = 64, 8, 5, 2


@pytest.fixture(scope="session")
def tiny_case() -> Case:
    return Case(
        "tiny",
        "training step of a tiny block",
        transformer_block(WIDTH, context_width=WIDTH, heads=2),
        (BATCH, TOKENS, WIDTH),
        (BATCH, CONTEXT_TOKENS, WIDTH),
    )


@pytest.fixture
def frozen(tiny_case: Case) -> nn.Module:
    return make_frozen(tiny_case.architecture, CPU)


@pytest.fixture(scope="session")
def variants() -> dict[str, Variant]:
    return {variant.name: variant for variant in all_variants()}
