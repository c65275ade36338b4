"""Two shards: each serves its namespaces, leads by a Lease of its own, and a third process of another number waits."""

import uuid
from collections.abc import Iterator

import pytest
from tests.integration.fixtures import OperatorProcess, Space, finetunejob, free_port
from tests.integration.release import Release, installed

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for
from finetune_operator.job.shard import Shard

PREFIX = "FINETUNE_OPERATOR_"
NOWHERE = {"nodeSelector": {"example.com/nowhere": "here"}}


@pytest.fixture
def home(
    operator_process: OperatorProcess, finetune_crd: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """A release of two shards; the session's operator, which serves every namespace, stands still meanwhile."""
    operator_process.end()
    space = Space(finetune_crd, f"shards-{uuid.uuid4().hex[:8]}")
    space.create()
    with installed(space, tmp_path_factory.mktemp("shards"), {"shards": 2}) as release:
        yield release
    space.kubectl("delete", "namespace", space.namespace, "--wait=false")
    operator_process.start()


def process(base: OperatorProcess, home: Release, shard: str, log: str) -> OperatorProcess:
    ports = {f"{PREFIX}{name}_PORT": str(free_port()) for name in ("HEALTH", "REPORTS", "METRICS")}
    environment = {**base.environment, **home.settings, **ports, "KUBECONFIG": str(home.kubeconfig)}
    return OperatorProcess({**environment, f"{PREFIX}SHARD": shard}, home.kubeconfig.with_name(log))


@pytest.mark.slow
def test_each_shard_serves_its_own_namespaces_and_one_of_another_number_waits_for_them(
    operator_process: OperatorProcess, home: Release
) -> None:
    shards = [process(operator_process, home, f"{number}/2", f"{number}.log") for number in range(2)]
    names = (f"shard-{uuid.uuid4().hex[:8]}" for _ in range(1000))
    spaces = [
        Space(home.home.cluster, next(name for name in names if Shard(number, 2).serves(name))) for number in range(2)
    ]
    for space in spaces:
        space.create()
    lease = home.settings[f"{PREFIX}SECRET_NAME"]
    other = process(operator_process, home, "0/1", "other.log")
    try:
        shards[0].start()
        for space in spaces:
            space.apply(finetunejob("one", pod=NOWHERE))
        spaces[0].until("one", lambda status: status.get("phase") == "Pending", "the first shard")
        alone = spaces[1].status("one")
        shards[1].start()
        spaces[1].until("one", lambda status: status.get("phase") == "Pending", "the second shard")
        holders = {home.home.get("lease", name)["spec"]["holderIdentity"] for name in (lease, f"{lease}-1")}
        shards[0].end()
        other.start_anyway()
        wait_for(lambda: "another number of shards" in other.log.read_text(), bool, "the other one to wait")
        waits = other.get("/readyz")
        shards[1].end()
        wait_for(lambda: other.get("/readyz")[0], lambda code: code == 200, "the other one to lead")
        other.end()
    finally:
        for each in (*shards, other):
            if each.process is not None:
                each.kill()
    for space in spaces:
        space.kubectl("delete", "namespace", space.namespace, "--wait=false")

    assert alone == {}
    assert len(holders) == 2
    assert waits == (503, "reports are not taken yet\n")
