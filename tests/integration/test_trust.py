"""Nobody decides what a run does but its FineTuneJob."""

import json

from tests.integration.fixtures import Space, finetunejob


def test_a_run_does_not_begin_by_settings_that_somebody_put_in_place_of_its_own(space: Space) -> None:
    space.apply(finetunejob("swapped", suspend=True))
    space.until("swapped", lambda s: s.get("phase") == "Suspended", "suspended")
    live = space.get("configmap", "swapped-run")
    refused = space.kubectl("patch", "configmap", "swapped-run", "-p", '{"data":{"run.yaml":"{}"}}', check=False)
    settings = json.loads(live["data"]["run.yaml"])
    settings["model"]["source"] = "file:///somewhere/else"
    planted = {**live, "metadata": {name: live["metadata"][name] for name in ("name", "labels", "ownerReferences")}}
    space.kubectl("delete", "configmap", "swapped-run")
    space.apply({**planted, "data": {"run.yaml": json.dumps(settings)}})

    space.kubectl("patch", "ftj", "swapped", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    status = space.end_of("swapped")

    assert "immutable" in refused
    assert (status["phase"], status["failure"]["reason"]) == ("Failed", "ConfigChanged"), status
    assert status["failure"]["exitCode"] == 10
    assert len(status["attempts"]) == 1
