"""The report endpoint's certificate, and all of its authority, are renewed while pods report on connections that they keep."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.integration.release import Release

from devcluster.testing.api import MERGE, PATIENCE, wait_for
from finetune_operator.reports.certificates import from_secret_data, renew, to_secret_data

OFTEN = Path(__file__).with_name("often.py")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["certificate", "authority"])
def test_keys_that_are_renewed_in_mid_run_lose_no_report_and_end_no_pod(
    stage: Scene, release: Release, what: str
) -> None:
    stage.operator.end()
    stage.operator.program = (str(OFTEN),)
    stage.operator.start()
    stage.kubelet.steps, stage.kubelet.seconds_a_step = 10_000, 0.2
    stage.kubelet.answer_seconds = PATIENCE  # a late answer is no lost report
    names = [f"renewed-{number}" for number in range(3)]
    stage.space.apply(*map(chaos_job, names))
    for name in names:
        stage.until(name, lambda status: status.get("progress", {}).get("step", 0) > 0, "numbers")
    secret = release.settings["FINETUNE_OPERATOR_SECRET_NAME"]
    lost = stage.kubelet.answers[0]

    first = release.home.get("secret", secret)["data"]
    ending = first
    if what == "certificate":
        keys = from_secret_data(first)
        assert keys is not None
        ending = to_secret_data(renew(keys, ["127.0.0.1", "localhost"], datetime.now(UTC) - timedelta(days=65)))
        path = f"/api/v1/namespaces/{release.home.namespace}/secrets/{secret}"
        assert stage.history.api("PATCH", path, {"data": ending}, MERGE).code == 200
    else:
        release.home.kubectl("delete", "secret", secret)
    known = [first["tls.crt"], ending["tls.crt"]]
    renewed = wait_for(
        lambda: release.home.get("secret", secret).get("data", {}),
        lambda data: data.get("tls.crt") not in (None, *known),
        "new keys",
    )
    bundle = lambda: stage.space.get("configmap", "finetune-operator-ca")["data"]["ca.crt"]  # noqa: E731
    trusted = from_secret_data(renewed)
    assert trusted is not None
    wait_for(bundle, lambda held: held == trusted.bundle, "the namespace's ConfigMap to follow")
    now = [stage.space.status(name)["progress"]["step"] for name in names]
    for name, step in zip(names, now, strict=True):
        stage.until(name, lambda status, step=step: status["progress"]["step"] > step + 15, "newer numbers")  # type: ignore[misc]
    stage.kubelet.seconds_a_step = 1e-9
    phases = stage.end_of(*names)

    assert phases == ["Succeeded"] * 3
    assert (stage.kubelet.answers[0] - lost, stage.kubelet.answers[403], stage.kubelet.disowned) == (0, 0, [])
    assert [len(pods) for pods in stage.kubelet.uids.values()] == [1] * 3
    assert stage.history.violations() == []
