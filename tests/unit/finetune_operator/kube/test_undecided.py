"""What may become ours is kept in bounded memory, in its newest version, until it is asked for."""

from typing import Any

from finetune_operator.kube.packed import pack
from finetune_operator.kube.undecided import Undecided


def an_object(name: str, version: int = 1) -> dict[str, Any]:
    return pack({"metadata": {"namespace": "ns", "name": name, "uid": f"{name}-uid", "resourceVersion": str(version)}})


def key(raw: dict[str, Any]) -> tuple[str, str]:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def test_the_newest_version_of_each_with_a_value_is_returned_once() -> None:
    undecided = Undecided()
    for value, raw in (("a", an_object("one")), ("b", an_object("two")), ("a", an_object("one", 2))):
        undecided.put(key(raw), value, raw)

    assert (undecided.take("a"), undecided.take("a"), undecided.take("c")) == ([an_object("one", 2)], [], [])
    assert undecided.has(("ns", "two"), "two-uid")


def test_an_object_whose_value_changes_or_that_is_dropped_is_not_there_under_the_former() -> None:
    undecided = Undecided()
    for value, raw in (("a", an_object("one")), ("a", an_object("two")), ("b", an_object("one", 2))):
        undecided.put(key(raw), value, raw)
    undecided.drop(("ns", "two"))

    assert (undecided.take("a"), undecided.take("b")) == ([], [an_object("one", 2)])
    assert not undecided.has(("ns", "two"), "two-uid")


def test_another_object_of_the_same_name_is_another_one() -> None:
    undecided = Undecided()
    undecided.put(("ns", "one"), "a", an_object("one"))

    assert not undecided.has(("ns", "one"), "of-its-successor")


def test_any_number_of_them_takes_bounded_memory_and_the_oldest_go_first() -> None:
    undecided = Undecided(most_bytes=100_000)
    for number in range(1000):
        raw = an_object(f"pod-{number}")
        undecided.put(key(raw), f"job-{number}", raw)

    assert undecided._bytes <= 100_000
    assert len(undecided._value_of) == len(undecided._by_value) < 200
    assert (undecided.take("job-0"), len(undecided.take("job-999"))) == ([], 1)
