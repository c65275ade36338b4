"""The secret that the pods of one run prove to each other."""

from tests.unit.finetune_operator.samples import LABELS, OWNERS, POD_DEFAULTS, children, parsed

from finetune_operator.manifests import build_children
from finetune_operator.manifests.metadata import child_metadata
from finetune_operator.manifests.run_secret import build_run_secret


def test_its_name_is_made_up_by_the_api_server_so_that_nobody_puts_one_there_before() -> None:
    given = parsed(resources={"nodes": 2})
    assert given.spec is not None

    assert build_run_secret(child_metadata(given), given, given.spec, "random") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"generateName": "yelp-run-", "namespace": "team-a", "labels": LABELS, "ownerReferences": OWNERS},
        "immutable": True,
        "stringData": {"secret": "random"},
    }


def test_it_is_a_file_of_the_pods_that_train_together_and_stands_nowhere_else() -> None:
    given = parsed(resources={"nodes": 2})
    assert given.spec is not None

    made = build_children(given, given.spec, POD_DEFAULTS, run_secret="yelp-run-x1y2z")
    pod, preflight = (job["spec"]["template"]["spec"] for job in (made.job, made.preflight_job))
    container = pod["containers"][0]

    assert {"name": "run-secret", "secret": {"secretName": "yelp-run-x1y2z", "defaultMode": 0o440}} in pod["volumes"]
    assert {"name": "run-secret", "mountPath": "/var/run/secrets/finetune-run", "readOnly": True} in container[
        "volumeMounts"
    ]
    assert {"name": "FINETUNE_RUN_SECRET", "value": "/var/run/secrets/finetune-run/secret"} in container["env"]
    assert "run-secret" not in str(preflight)


def test_one_pod_has_nobody_to_prove_it_to() -> None:
    given = parsed()
    assert given.spec is not None

    assert build_run_secret(child_metadata(given), given, given.spec, "random") is None
    assert "FINETUNE_RUN_SECRET" not in str(children(given).job)
