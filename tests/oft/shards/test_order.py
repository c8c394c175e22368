"""The order of training: every sample once an epoch, a function of seed and step, one size a batch."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import numpy as np
import pytest

from oft.shards.order import (
    BatchOrder,
    batches_in_order,
    bucket_of_step,
    shuffled_order,
    windowed_order,
)
from oft.shards.store import ShardSpan


def spans(*lengths: int, sizes: tuple[tuple[int, int] | None, ...] | None = None) -> list[ShardSpan]:
    ends = list(accumulate(lengths))
    return [
        ShardSpan(range(end - length, end), sizes[place] if sizes else None)
        for place, (length, end) in enumerate(zip(lengths, ends, strict=True))
    ]


WIDE, TALL, SQUARE = (96, 64), (64, 96), (64, 64)


def test_the_shuffled_order_is_a_permutation_of_seed_and_epoch() -> None:
    order = shuffled_order(100, seed=3, epoch=2)
    assert sorted(order.tolist()) == list(range(100))
    np.testing.assert_array_equal(order, shuffled_order(100, seed=3, epoch=2))
    for seed, epoch in ((3, 3), (2, 3), (2, 2)):
        assert (order != shuffled_order(100, seed=seed, epoch=epoch)).any()


@pytest.mark.parametrize("window", [None, 3, 7])
def test_one_window_over_all_shards_is_the_global_shuffle(window: int | None) -> None:
    shards = [span.samples for span in spans(4, 4, 3)]
    np.testing.assert_array_equal(windowed_order(shards, 5, 1, window), shuffled_order(11, 5, 1))


@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_window_mixes_its_shards_and_no_others(window: int) -> None:
    shards = [span.samples for span in spans(4, 4, 4, 4, 3)]
    order = windowed_order(shards, 5, 1, window)
    assert sorted(order.tolist()) == list(range(19))
    # A window ends where all of the shards met so far have been read to their ends.
    shard_of = [next(place for place, shard in enumerate(shards) if number in shard) for number in order]
    while shard_of:
        length = next(
            length
            for length in range(1, len(shard_of) + 1)
            if length == sum(len(shards[place]) for place in set(shard_of[:length]))
        )
        assert len(set(shard_of[:length])) <= window
        shard_of = shard_of[length:]
    assert (order != windowed_order(shards, 5, 2, window)).any()


@pytest.mark.parametrize("window", [None, 2])
def test_an_epoch_shows_every_sample_once(window: int | None) -> None:
    order = BatchOrder(spans(3, 3, 1), 3, seed=5, window=window)
    seen = np.concatenate([order(step) for step in range(7)])
    for epoch in range(3):
        assert sorted(seen[7 * epoch : 7 * (epoch + 1)]) == list(range(7))
    assert seen[:7].tolist() != seen[7:14].tolist()


def test_batches_run_through_the_global_shuffle_and_on_across_epochs() -> None:
    order = BatchOrder(spans(4, 4, 3), 4, seed=9)
    expected = np.concatenate([shuffled_order(11, 9, epoch) for epoch in range(3)])
    for step in (0, 2, 5, 7):  # in no order: a step is found by arithmetic
        np.testing.assert_array_equal(order(step), expected[4 * step : 4 * step + 4])


def test_a_batch_longer_than_an_epoch_holds_several() -> None:
    batch = BatchOrder(spans(3), 7, seed=0)(0)
    assert sorted(Counter(batch.tolist()).values()) == [2, 2, 3]


def test_ranks_share_out_every_batch() -> None:
    whole = BatchOrder(spans(5, 6), 6, seed=1)
    parts = [BatchOrder(spans(5, 6), 6, seed=1, rank=rank, num_ranks=3) for rank in range(3)]
    for step in range(8):
        np.testing.assert_array_equal(np.stack([part(step) for part in parts], axis=1).ravel(), whole(step))


@pytest.mark.parametrize(("rank", "num_ranks"), [(2, 2), (-1, 2), (0, 4)])
def test_ranks_that_do_not_fit_the_batch_are_refused(rank: int, num_ranks: int) -> None:
    with pytest.raises(ValueError, match="must divide the batch size"):
        BatchOrder(spans(5), 6, seed=1, rank=rank, num_ranks=num_ranks)


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample"):
        BatchOrder(spans(), 2, seed=1)


def test_a_batch_has_one_size_and_sizes_take_turns_in_proportion() -> None:
    shards = spans(30, 10, 30, 20, sizes=(WIDE, TALL, WIDE, SQUARE))
    size_of = {number: span.size_px for span in shards for number in span.samples}
    order = BatchOrder(shards, 2, seed=4)
    turns = []
    for step in range(45):
        sizes = {size_of[int(number)] for number in order(step)}
        assert len(sizes) == 1
        turns.append(sizes.pop())
    assert Counter(turns) == {WIDE: 30, TALL: 5, SQUARE: 10}
    assert Counter(turns[:9]) == {WIDE: 6, TALL: 1, SQUARE: 2}
    seen = Counter(int(number) for step in range(45) for number in order(step))
    assert set(seen.values()) == {1} and len(seen) == 90


@pytest.mark.parametrize("sizes", [[7], [3, 3], [60, 10, 20], [1, 1000, 13, 13]])
def test_turns_are_those_of_sharing_out_seats_one_by_one(sizes: list[int]) -> None:
    """Sainte-Laguë's divisors 1, 3, 5 ..., carried out seat by seat."""
    given = [0] * len(sizes)
    for step in range(300):
        quotients = [size / (2 * seats + 1) for size, seats in zip(sizes, given, strict=True)]
        chosen = quotients.index(max(quotients))
        assert bucket_of_step(sizes, step) == (chosen, given[chosen])
        given[chosen] += 1


def test_batches_in_order_show_every_sample_once_in_batches_of_one_size() -> None:
    batches = batches_in_order(spans(5, 2, 3, sizes=(WIDE, TALL, WIDE)), 3)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 7], [8, 9], [5, 6]]
    assert [batch.tolist() for batch in batches_in_order(spans(2, 2), 3)] == [[0, 1, 2], [3]]
