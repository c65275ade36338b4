"""Batches of like length in random order, the same again for the same seed and epoch."""

import random

from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from finetune_trainer.engines.batching import EpochSampler, LengthGroupedSampler

CHANCE = random.Random(0)
LENGTHS = [CHANCE.randrange(5, 500) for _ in range(1003)]


def order(epoch: int, seed: int = 1) -> list[int]:
    sampler = LengthGroupedSampler(LENGTHS, 8, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def padded_tokens(rows: list[int]) -> int:
    batches = [rows[start : start + 8] for start in range(0, len(rows), 8)]
    return sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches)


def test_every_row_comes_once() -> None:
    assert sorted(order(0)) == list(range(len(LENGTHS)))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert order(3) == order(3)
    assert order(3) != order(4)
    assert order(3) != order(3, seed=2)


def test_little_is_padded() -> None:
    tokens = sum(LENGTHS)

    assert padded_tokens(list(range(len(LENGTHS)))) > 1.6 * tokens
    assert padded_tokens(order(0)) < 1.06 * tokens


def test_batches_do_not_come_by_length() -> None:
    longest = [max(LENGTHS[row] for row in order(0)[start : start + 8]) for start in range(0, 400, 8)]

    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_a_step_has_the_same_rows_whatever_the_size_and_number_of_batches_that_share_it() -> None:
    def steps(batch: int, processes: int) -> list[set[int]]:
        dealt = BatchSampler(LengthGroupedSampler(LENGTHS, 8, seed=1), batch, drop_last=False)
        shards = [list(BatchSamplerShard(dealt, processes, rank)) for rank in range(processes)]
        rounds = 8 // (batch * processes)
        return [
            {row for shard in shards for batch in shard[start : start + rounds] for row in batch}
            for start in range(0, len(LENGTHS) // 8 * rounds, rounds)
        ]

    alone = steps(8, 1)

    assert [steps(4, 2), steps(2, 2), steps(2, 4), steps(1, 1)] == [alone] * 4


def test_the_random_order_too_depends_on_seed_and_epoch_alone() -> None:
    sampler = EpochSampler(50, seed=3)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)

    assert first == again
    assert sorted(first) == sorted(sampler) == list(range(50))
    assert list(sampler) != first
