"""The scheduler's words, in plain ones."""

import pytest

from finetune_operator.status.unschedulable import in_plain_words, is_about_claims


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        (
            "0/5 nodes are available: 2 node(s) had untolerated taint {dedicated: ml}, 3 Insufficient nvidia.com/gpu. "
            "preemption: 0/5 nodes are available: 2 Preemption is not helpful for scheduling, "
            "3 No preemption victims found for incoming pod.",
            "a taint that the pod does not tolerate {dedicated: ml} on 2 of 5 nodes (pod.tolerations), "
            "too few GPUs are free on 3 of 5 nodes (resources.gpus); "
            "the scheduler: 2 node(s) had untolerated taint {dedicated: ml}, 3 Insufficient nvidia.com/gpu",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
            "a taint that the pod does not tolerate on 1 of 1 nodes (pod.tolerations); "
            "the scheduler: 1 node(s) had untolerated taint(s)",
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/fpga, 3 Insufficient memory.",
            "too little CPU is free on 1 of 3 nodes (resources.cpu), too little example.com/fpga is free on 1 of 3 nodes, "
            "too little memory is free on 3 of 3 nodes (resources.memory); "
            "the scheduler: 1 Insufficient cpu, 1 Insufficient example.com/fpga, 3 Insufficient memory",
        ),
        (
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable.",
            "labels are not as asked for on 1 of 2 nodes (pod.nodeSelector, pod.affinity), "
            "cordoned, as before a drain on 1 of 2 nodes; "
            "the scheduler: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable",
        ),
        (
            "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
            "a volume of the pod cannot be used there on 2 of 2 nodes; "
            "the scheduler: 2 node(s) had volume node affinity conflict",
        ),
        (
            "0/2 nodes are available: 2 node(s) are made of cheese.",
            "are made of cheese on 2 of 2 nodes; the scheduler: 2 node(s) are made of cheese",
        ),
        (
            '0/2 nodes are available: persistentvolumeclaim "nowhere" not found. not found.',
            "the claim nowhere is not there",
        ),
        (
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found.",
            "a claim of the pod has no volume yet",
        ),
        ("0/1 nodes are available: the moon is full. preemption: x", "0/1 nodes are available: the moon is full"),
        ("0/1 nodes are available.", "0/1 nodes are available."),
        ("no nodes available to schedule pods", "no nodes available to schedule pods"),
        ("", ""),
    ],
)
def test_the_schedulers_words_are_told_plainly_with_their_fields(said: str, plain: str) -> None:
    assert in_plain_words(said) == plain


def test_a_pod_that_waits_for_its_claim_is_told_from_one_that_waits_for_room() -> None:
    said = ["pod has unbound immediate PersistentVolumeClaims", "binding volumes: context deadline exceeded"]

    assert [is_about_claims(each) for each in [*said, "2 Insufficient cpu"]] == [True, True, False]
