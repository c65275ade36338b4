"""Credentials, as files."""

from tests.unit.finetune_operator.samples import children, parsed


def test_credentials_are_files_for_the_pods_user_and_are_nowhere_else() -> None:
    given = parsed(
        model={"source": "org/gated", "secretRef": {"name": "hub"}},
        output={"uri": "s3://models/yelp", "secretRef": {"name": "s3"}},
        tracking={"mlflow": {"uri": "https://mlflow"}, "secretRef": {"name": "mlflow"}},
    )

    made = children(given)
    pod = made.job["spec"]["template"]["spec"]
    container = pod["containers"][0]

    assert made.pvc is None
    assert "--volume" not in container["args"]
    assert container["volumeMounts"][5:] == [
        {"name": "secret-model", "mountPath": "/var/run/secrets/finetune-credentials/model", "readOnly": True},
        {"name": "secret-output", "mountPath": "/var/run/secrets/finetune-credentials/output", "readOnly": True},
        {"name": "secret-tracking", "mountPath": "/var/run/secrets/finetune-credentials/tracking", "readOnly": True},
    ]
    assert pod["volumes"][5:] == [
        {"name": "secret-model", "secret": {"secretName": "hub", "defaultMode": 0o440}},
        {"name": "secret-output", "secret": {"secretName": "s3", "defaultMode": 0o440}},
        {"name": "secret-tracking", "secret": {"secretName": "mlflow", "defaultMode": 0o440}},
    ]
    assert {"name": "FINETUNE_SECRETS", "value": "/var/run/secrets/finetune-credentials"} in container["env"]
    assert not any("valueFrom" in each for each in container["env"])


def test_the_trainer_is_told_what_else_of_its_pod_comes_from_a_secret() -> None:
    given = parsed(
        pod={
            "env": [
                {"name": "LOTTERY_NUMBER", "valueFrom": {"secretKeyRef": {"name": "finetune-x", "key": "k"}}},
                {"name": "PLAIN", "value": "x"},
                {"name": "OF_A_MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
                {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "finetune-x", "key": "l"}}},
            ],
            "volumes": [
                {"name": "keys", "secret": {"secretName": "finetune-x"}},
                {"name": "words", "configMap": {"name": "m"}},
            ],
            "volumeMounts": [
                {"name": "keys", "mountPath": "/mnt/keys"},
                {"name": "words", "mountPath": "/mnt/words"},
            ],
        }
    )

    env = {
        each["name"]: each.get("value")
        for each in children(given).job["spec"]["template"]["spec"]["containers"][0]["env"]
    }

    assert env["FINETUNE_SECRET_VARIABLES"] == "LOTTERY_NUMBER,OTHER"
    assert env["FINETUNE_SECRET_PATHS"] == "/mnt/keys"


def test_a_pod_without_secrets_is_told_of_none() -> None:
    assert "FINETUNE_SECRET_" not in str(children(parsed()).job)
