"""What may become ours is kept in bounded memory, in its newest version, until it is asked for."""

from typing import Any

import pytest

from finetune_operator.kube.bounded_objects import BoundedObjects
from finetune_operator.kube.packed import pack


def an_object(name: str, version: int = 1, namespace: str = "ns") -> dict[str, Any]:
    return pack(
        {"metadata": {"namespace": namespace, "name": name, "uid": f"{name}-uid", "resourceVersion": str(version)}}
    )


def key(raw: dict[str, Any]) -> tuple[str, str]:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def test_the_newest_version_of_each_with_a_value_is_returned_once() -> None:
    objects = BoundedObjects()
    for value, raw in (("a", an_object("one")), ("b", an_object("two")), ("a", an_object("one", 2))):
        objects.put(key(raw), value, raw)

    assert (objects.take("a"), objects.take("a"), objects.take("c")) == ([an_object("one", 2)], [], [])
    assert objects.has(("ns", "two"), "two-uid")


def test_an_object_whose_value_changes_or_that_is_dropped_is_not_there_under_the_former() -> None:
    objects = BoundedObjects()
    for value, raw in (("a", an_object("one")), ("a", an_object("two")), ("b", an_object("one", 2))):
        objects.put(key(raw), value, raw)
    objects.drop(("ns", "two"))

    assert (objects.take("a"), objects.take("b")) == ([], [an_object("one", 2)])
    assert not objects.has(("ns", "two"), "two-uid")


def test_another_object_of_the_same_name_is_another_one() -> None:
    objects = BoundedObjects()
    objects.put(("ns", "one"), "a", an_object("one"))

    assert not objects.has(("ns", "one"), "of-its-successor")


def test_any_number_of_them_takes_bounded_memory_and_the_oldest_go_first() -> None:
    objects = BoundedObjects(most_bytes=100_000)
    for number in range(1000):
        raw = an_object(f"pod-{number}")
        objects.put(key(raw), f"job-{number}", raw)

    assert objects._bytes.total() <= 100_000
    assert len(objects.places()) == len(objects._groups["ns"]) < 200
    assert (objects.take("job-0"), len(objects.take("job-999"))) == ([], 1)


@pytest.mark.parametrize("value", ["theirs", "victim"])
def test_what_one_namespace_makes_pushes_out_nothing_of_another_also_under_its_label(value: str) -> None:
    objects = BoundedObjects(most_bytes=100_000)
    pod = an_object("pod", namespace="victim")
    objects.put(key(pod), "victim", pod)
    for number in range(1000):
        raw = an_object(f"pod-{number}", namespace="hostile")
        objects.put(key(raw), value, raw)

    assert objects.labelled("victim")["victim", "pod"] == pod
    assert pod in objects.take("victim")
    assert not objects.has(("victim", "pod"), "pod-uid")


def test_of_what_is_dropped_nothing_is_left() -> None:
    objects = BoundedObjects()
    for raw in (an_object("one"), an_object("two", namespace="other")):
        objects.put(key(raw), "a", raw)
    for each in objects.places():
        objects.drop(each)

    assert (objects.places(), objects._groups, objects._bytes) == (set(), {}, {})


def test_of_those_with_one_value_the_newest_are_kept() -> None:
    objects = BoundedObjects()
    for number in range(1000):
        raw = an_object(f"pod-{number}")
        objects.put(key(raw), "job", raw)

    kept = [name for _, name in objects.labelled("job")]

    assert kept == [f"pod-{number}" for number in range(400, 1000)]
