"""A batch is shared evenly, or refused with numbers that would."""

from __future__ import annotations

import pytest

from oft.errors import TrainingError
from oft.training.distributed import micro_batches


def test_a_batch_is_cut_into_equal_parts_no_larger_than_those_of_one_process() -> None:
    for batch_size, steps, ranks in [(8, 1, 4), (8, 4, 2), (8, 2, 4), (12, 4, 6), (6, 3, 1)]:
        parts = micro_batches(batch_size, steps, ranks)
        samples, remainder = divmod(batch_size, ranks * parts)
        assert remainder == 0 and samples <= batch_size // steps
    assert micro_batches(8, 4, 2) == 2 and micro_batches(8, 2, 4) == 1


@pytest.mark.parametrize(("batch_size", "steps", "ranks", "near"), [(12, 1, 5, "4, 6"), (4, 2, 3, "1, 2, 4")])
def test_ranks_that_do_not_divide_a_batch_are_refused_with_numbers_that_do(
    batch_size: int, steps: int, ranks: int, near: str
) -> None:
    with pytest.raises(TrainingError, match=rf"{ranks} processes .* batch_size .{batch_size}. .*: .*{near}"):
        micro_batches(batch_size, steps, ranks)
