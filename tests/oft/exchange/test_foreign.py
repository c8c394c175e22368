"""Foreign values in this project's terms: the configuration they need, the layers they name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from oft.adapters.oft.targets import find_targets
from oft.adapters.targets import UNET_CONTROL_TARGETS
from oft.errors import CheckpointError
from oft.exchange.foreign import ForeignAdapter, infer_config, packed_from_matrices, target_patterns

from .conftest import linear_names


@pytest.mark.parametrize("endings", [UNET_CONTROL_TARGETS, ("attn1.to_q",), ("to_k", "to_v")])
def test_patterns_are_the_short_ones_that_match(unet: Any, endings: tuple[str, ...]) -> None:
    names = linear_names(unet, endings)
    patterns = target_patterns(unet, names)
    assert set(find_targets(unet, patterns)) == set(names)
    assert len(patterns) <= len(UNET_CONTROL_TARGETS)


def test_a_choice_no_ending_makes_is_named_in_full(unet: Any) -> None:
    names = linear_names(unet, ("attn1.to_q",))[::2]
    patterns = target_patterns(unet, names)
    assert set(find_targets(unet, patterns)) == set(names)


def foreign(unet: Any, blocks: dict[str, tuple[int, int]], **options: Any) -> ForeignAdapter:
    packed = {name: torch.zeros(count, size * (size - 1) // 2) for name, (count, size) in blocks.items()}
    return ForeignAdapter("file", packed, options.pop("block_share", False), **options)


def test_what_is_equal_in_all_layers_configures_them(unet: Any) -> None:
    narrow, wide = (
        next(n for n in linear_names(unet) if unet.get_submodule(n).in_features == width)
        for width in (128, 192)
    )
    assert infer_config(foreign(unet, {narrow: (8, 16), wide: (12, 16)}), unet).block_size == 16
    assert infer_config(foreign(unet, {narrow: (4, 32), wide: (4, 48)}), unet).num_blocks == 4
    by_size = foreign(unet, {narrow: (4, 32)}, blocks_by="block_size")
    assert infer_config(by_size, unet).block_size == 32
    shared = infer_config(foreign(unet, {narrow: (1, 32), wide: (1, 48)}, block_share=True, eps=1e-4), unet)
    assert (shared.num_blocks, shared.block_share, shared.coft, shared.eps) == (4, True, True, 1e-4)
    with pytest.raises(CheckpointError, match=r"got numbers \[2, 12\] and sizes \[16, 64\]"):
        infer_config(foreign(unet, {narrow: (2, 64), wide: (12, 16)}), unet)


def test_the_symmetric_part_of_a_matrix_is_dropped(generator: torch.Generator) -> None:
    matrix = torch.randn(2, 4, 4, generator=generator)
    symmetric = matrix + matrix.mT
    assert packed_from_matrices(symmetric, None).abs().max() == 0
    torch.testing.assert_close(
        packed_from_matrices(matrix + symmetric, None), packed_from_matrices(matrix, None)
    )
