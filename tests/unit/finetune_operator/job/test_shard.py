"""Each namespace is of one shard, in every process of the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.job.shard import Shard


@given(st.text(min_size=1, max_size=63), st.integers(1, 64))
def test_each_namespace_is_of_exactly_one_shard(namespace: str, shards: int) -> None:
    assert sum(Shard(number, shards).serves(namespace) for number in range(shards)) == 1


def test_the_hash_is_the_same_in_every_release() -> None:
    numbers = [
        next(each for each in range(5) if Shard(each, 5).serves(name)) for name in ("team-a", "team-b", "default")
    ]

    assert numbers == [1, 4, 4]


def test_many_namespaces_are_spread_evenly() -> None:
    counts = [sum(Shard(number, 4).serves(f"team-{each}") for each in range(4000)) for number in range(4)]

    assert max(counts) - min(counts) < 200


def test_the_first_shard_has_the_names_of_an_operator_without() -> None:
    assert [Shard.parse(text).name("lease") for text in ("0/1", "0/3", "2/3")] == ["lease", "lease", "lease-2"]


@pytest.mark.parametrize("text", ["", "1", "1/1", "2/2", "-1/2", "a/b", "0/0", "0/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="0/2"):
        Shard.parse(text)
