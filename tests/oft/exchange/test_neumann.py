"""PEFT's truncated Cayley transform: equal to PEFT's own, and how far from a rotation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from oft.adapters.oft.rotation import cayley, orthogonality_error, skew_from_packed
from oft.exchange.neumann import neumann_series, truncated_rotations, truncation_error


@pytest.fixture
def packed(generator: torch.Generator) -> Tensor:
    return torch.randn(3, 28, generator=generator) * 0.1


@pytest.mark.parametrize("num_terms", range(1, 8))
def test_the_series_is_pefts(packed: Tensor, num_terms: int) -> None:
    from peft.tuners.oft.layer import OFTRotationModule

    theirs: Any = OFTRotationModule(3, 28, 8, 24)
    expected = theirs._cayley_batch(packed, 8, True, num_terms)
    torch.testing.assert_close(neumann_series(skew_from_packed(packed), num_terms), expected)


def test_before_peft_018_every_power_counted_twice(packed: Tensor) -> None:
    skew = skew_from_packed(packed)
    expected = torch.eye(8) + 2 * (skew + skew @ skew + skew @ skew @ skew)
    torch.testing.assert_close(neumann_series(skew, 4, halved_last=False), expected)


def test_five_terms_are_the_inverse_rotation_but_for_the_fourth_power(packed: Tensor) -> None:
    skew = skew_from_packed(packed).double()
    expected = cayley(-skew) @ (torch.eye(8, dtype=torch.float64) - torch.linalg.matrix_power(skew, 4))
    torch.testing.assert_close(neumann_series(skew, 5), expected)


def test_more_terms_come_nearer_to_the_inverse_rotation(packed: Tensor) -> None:
    values = {"layer": packed}
    errors = [truncation_error(values, truncated_rotations(values, terms)) for terms in (2, 5, 9, 33)]
    assert [error.rotation for error in errors] == sorted((e.rotation for e in errors), reverse=True)
    assert [error.orthogonality for error in errors] == sorted(
        (e.orthogonality for e in errors), reverse=True
    )
    assert errors[-1].rotation < 1e-5 < errors[1].rotation


def test_the_error_is_what_a_reader_measures(packed: Tensor) -> None:
    values = {"a": packed, "b": 3 * packed}
    truncated = truncated_rotations(values, 5)
    error = truncation_error(values, truncated)
    assert error.orthogonality == orthogonality_error(truncated["b"]) > orthogonality_error(truncated["a"])
    assert error.rotation == pytest.approx(
        (truncated["b"] - cayley(skew_from_packed(3 * packed)).mT).abs().max().item(), abs=1e-6
    )


def test_at_identity_there_is_no_error() -> None:
    values = {"layer": torch.zeros(2, 28)}
    assert truncation_error(values, truncated_rotations(values, 5)) == (0.0, 0.0)
