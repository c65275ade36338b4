"""What the garbage collector decides about one object."""

from typing import Any

import pytest

from devcluster.controllers.ownership import Decision, OwnerState, decide

SOLID, WAITING, ABSENT = OwnerState.SOLID, OwnerState.WAITING, OwnerState.ABSENT


def obj(uid: str = "me", owners: tuple[str, ...] = (), **metadata: Any) -> dict[str, Any]:
    references = [reference(owner) for owner in owners]
    return {"metadata": {"uid": uid, "ownerReferences": references, **metadata}}


def reference(uid: str, blocks: bool = True) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "K", "name": uid, "uid": uid, "blockOwnerDeletion": blocks}


def deleting(finalizer: str) -> dict[str, Any]:
    return obj(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=[finalizer])


CHILD = obj("child", owners=("me",))
LOOSE_CHILD = {"metadata": {"uid": "loose", "ownerReferences": [reference("me", blocks=False)]}}


@pytest.mark.parametrize(
    ("subject", "owners", "dependents", "decision"),
    [
        pytest.param(obj(), {}, [CHILD], Decision(), id="nobody's"),
        pytest.param(obj(owners=("a",)), {"a": SOLID}, [], Decision(), id="owner is there"),
        pytest.param(obj(owners=("a",)), {"a": ABSENT}, [], Decision(delete="Background"), id="owner is gone"),
        pytest.param(
            obj(owners=("a", "b")),
            {"a": ABSENT, "b": SOLID},
            [],
            Decision(references=(reference("b"),)),
            id="one of two owners is gone",
        ),
        pytest.param(
            obj(owners=("a",)), {"a": WAITING}, [], Decision(delete="Background"), id="owner waits for it to go"
        ),
        pytest.param(
            obj(owners=("a",)),
            {"a": WAITING},
            [CHILD],
            Decision(delete="Foreground"),
            id="owner waits for it and its own dependents",
        ),
        pytest.param(
            obj(owners=("a",), deletionTimestamp="t"), {"a": ABSENT}, [], Decision(), id="being deleted already"
        ),
        pytest.param(
            deleting("foregroundDeletion"), {}, [CHILD], Decision(dependents="delete"), id="foreground, children left"
        ),
        pytest.param(
            deleting("foregroundDeletion"),
            {},
            [LOOSE_CHILD],
            Decision(finish="foregroundDeletion"),
            id="foreground, no child blocks",
        ),
        pytest.param(
            deleting("foregroundDeletion"), {}, [], Decision(finish="foregroundDeletion"), id="foreground, no children"
        ),
        pytest.param(deleting("orphan"), {}, [CHILD], Decision(dependents="orphan"), id="orphan, children left"),
        pytest.param(deleting("orphan"), {}, [], Decision(finish="orphan"), id="orphan, children released"),
        pytest.param(deleting("other/finalizer"), {}, [CHILD], Decision(), id="somebody else's finalizer"),
    ],
)
def test_an_object_goes_with_its_owners(
    subject: dict[str, Any], owners: dict[str, OwnerState], dependents: list[dict[str, Any]], decision: Decision
) -> None:
    assert decide(subject, owners, dependents) == decision
