"""Two releases of the chart that serve one namespace, each with a Lease of its own: each job is run by one of them, and they do not fight over it."""

import os
from pathlib import Path

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.integration.fixtures import OperatorProcess, Space, free_port
from tests.integration.release import Release, installed

from devcluster.testing.api import wait_for


@pytest.mark.slow
def test_each_job_is_run_once_and_ends_though_two_installations_serve_its_namespace(
    stage: Scene, release: Release, tmp_path: Path
) -> None:
    names = [f"both-{number}" for number in range(3)]
    home = Space(release.home.cluster, f"second-{os.urandom(3).hex()}")
    home.create()
    stage.kubelet.steps, stage.kubelet.seconds_a_step = 10_000, 1.0
    folder = tmp_path / "second"
    folder.mkdir()
    with installed(home, folder) as other:
        ports = {f"FINETUNE_OPERATOR_{name}_PORT": str(free_port()) for name in ("HEALTH", "METRICS", "REPORTS")}
        own = {"KUBECONFIG": str(other.kubeconfig), "FINETUNE_OPERATOR_WATCH_NAMESPACES": stage.space.namespace}
        second = OperatorProcess({**stage.operator.environment, **other.settings, **ports, **own}, folder / "log")
        second.start()
        try:
            stage.space.apply(*map(chaos_job, names))
            logs = [stage.operator.log, second.log]
            for name in names:
                told = f"/{name}: somebody else writes its status, and it is left alone"
                wait_for(lambda: any(told in log.read_text() for log in logs), bool, f"one to leave {name}")  # noqa: B023
            stage.kubelet.seconds_a_step = 1e-9
            phases = stage.end_of(*names)
        finally:
            second.end()
            print(second.log.read_text()[-20_000:])

    assert phases == ["Succeeded"] * 3
    assert [len(pods) for pods in stage.kubelet.uids.values()] == [1] * 3
    assert stage.kubelet.disowned == []
