"""Derived seeds: distinct for distinct names, the same for the same."""

from __future__ import annotations

import torch

from oft.seeding import derive_seed, generator_for


def test_seeds_depend_on_every_part_and_on_their_borders() -> None:
    seeds = [derive_seed(0, "a", 1), derive_seed(1, "a", 1), derive_seed(0, "b", 1), derive_seed(0, "a", 2)]
    assert len({*seeds, derive_seed("ab", "c"), derive_seed("a", "bc")}) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_one_name_draw_the_same() -> None:
    first, second = (torch.randn(4, generator=generator_for(3, "noise")) for _ in range(2))
    assert torch.equal(first, second)
