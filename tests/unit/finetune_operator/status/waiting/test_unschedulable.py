"""The scheduler's words, in plain ones."""

import pytest

from finetune_operator.status.waiting.unschedulable import in_plain_words, is_about_claims


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        (
            "0/5 nodes are available: 2 node(s) had untolerated taint {dedicated: ml}, 3 Insufficient nvidia.com/gpu. "
            "preemption: 0/5 nodes are available: 2 Preemption is not helpful for scheduling, "
            "3 No preemption victims found for incoming pod.",
            "of 5 nodes 2 with a taint that the pod does not tolerate {dedicated: ml} (pod.tolerations), "
            "3 with too few free GPUs (resources.gpus); "
            "the scheduler: 2 node(s) had untolerated taint {dedicated: ml}, 3 Insufficient nvidia.com/gpu",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
            "the only node: with a taint that the pod does not tolerate (pod.tolerations); "
            "the scheduler: 1 node(s) had untolerated taint(s)",
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/fpga, 3 Insufficient memory.",
            "of 3 nodes 1 with too little free CPU (resources.cpu), 1 with too little free example.com/fpga, "
            "3 with too little free memory (resources.memory); "
            "the scheduler: 1 Insufficient cpu, 1 Insufficient example.com/fpga, 3 Insufficient memory",
        ),
        (
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable.",
            "of 2 nodes 1 without the labels asked for (pod.nodeSelector, pod.affinity), 1 cordoned; "
            "the scheduler: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable",
        ),
        (
            "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
            "of 2 nodes 2 where a volume of the pod cannot be used; "
            "the scheduler: 2 node(s) had volume node affinity conflict",
        ),
        (
            "0/2 nodes are available: 2 node(s) are made of cheese.",
            'of 2 nodes 2 "are made of cheese"; the scheduler: 2 node(s) are made of cheese',
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
