"""Low-rank factors: those of a singular value decomposition, found another way; the smallest that do."""

from __future__ import annotations

import pytest
import torch

from oft.exchange.low_rank import low_rank_factors

SHAPES = [(24, 40), (40, 24), (32, 32)]


@pytest.fixture(params=SHAPES)
def change(request: pytest.FixtureRequest, generator: torch.Generator) -> torch.Tensor:
    """A matrix whose singular values fall off."""
    rows, columns = request.param
    scales = 0.8 ** torch.arange(min(rows, columns))
    left = torch.linalg.qr(torch.randn(rows, len(scales), generator=generator)).Q
    right = torch.linalg.qr(torch.randn(columns, len(scales), generator=generator)).Q
    return (left * scales) @ right.T


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_factors_are_those_of_the_singular_values(change: torch.Tensor, rank: int) -> None:
    values = torch.linalg.svdvals(change.double())
    factors = low_rank_factors(change, rank, None)
    assert factors.up.shape == (len(change), rank) and factors.down.shape == (rank, change.shape[1])
    missed = (change - factors.up @ factors.down).square().sum()
    assert float(missed) == pytest.approx(float(values[rank:].square().sum()), rel=1e-4, abs=1e-12)
    assert factors.kept == pytest.approx(float(values[:rank].square().sum() / values.square().sum()))


def test_neither_factor_is_much_larger_than_the_other(change: torch.Tensor) -> None:
    factors = low_rank_factors(change * 1e-4, 8, None)
    assert factors.up.norm() == pytest.approx(float(factors.down.norm()), rel=1e-6)


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.999])
def test_the_rank_is_the_smallest_that_keeps_the_share(change: torch.Tensor, energy: float) -> None:
    squares = torch.linalg.svdvals(change.double()).square()
    kept = (squares.cumsum(0) / squares.sum()).tolist()
    factors = low_rank_factors(change, None, energy)
    rank = factors.down.shape[0]
    assert kept[rank - 1] >= energy and (rank == 1 or kept[rank - 2] < energy)


def test_everything_kept_is_the_change_itself(change: torch.Tensor) -> None:
    for rank, energy in ((None, 1.0), (1000, None)):
        factors = low_rank_factors(change, rank, energy)
        torch.testing.assert_close(factors.up @ factors.down, change.double(), atol=1e-7, rtol=0)


def test_a_matrix_of_low_rank_needs_no_more(generator: torch.Generator) -> None:
    change = (
        torch.randn(30, 3, generator=generator).double() @ torch.randn(3, 50, generator=generator).double()
    )
    assert low_rank_factors(change, 20, None).down.shape[0] == 3
