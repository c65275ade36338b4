"""The claim for the output."""

from tests.unit.finetune_operator.samples import OWNERS, children, parsed


def test_a_claim_goes_with_the_job_only_where_that_is_asked_for() -> None:
    given = parsed(output={"size": "1Ti", "storageClassName": "fast", "retentionPolicy": "Delete"})

    claim = children(given).pvc

    assert claim is not None
    assert claim["metadata"]["ownerReferences"] == OWNERS
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Ti"}},
        "storageClassName": "fast",
    }
