"""kubectl's own commands: alike on the dev cluster and on a real API server."""

from devcluster.testing.plugin import Kubectl


def test_kubectl_applies_edits_and_shows(kubectl: Kubectl, namespace: str) -> None:
    manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {namespace}}}\ndata: {{k: v}}\n"

    outputs = [
        kubectl("apply", "-f", "-", stdin=manifest).stdout,
        kubectl("apply", "-f", "-", stdin=manifest).stdout,
        kubectl("apply", "-f", "-", stdin=manifest.replace("k: v", "l: w")).stdout,
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest).stdout,
        kubectl("label", "-n", namespace, "configmap", "a", "x=y").stdout,
        kubectl("get", "-n", namespace, "configmap", "a", "-o", "jsonpath={.data}{.metadata.labels}").stdout,
        kubectl("delete", "-n", namespace, "configmap", "a").stdout,
    ]

    assert outputs == [
        "configmap/a created\n",
        "configmap/a unchanged\n",
        "configmap/a configured\n",
        "configmap/a serverside-applied\n",
        "configmap/a labeled\n",
        '{"k":"v"}{"x":"y"}',
        f'configmap "a" deleted from {namespace} namespace\n',
    ]


def test_kubectl_creates_by_its_own_commands(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "-n", namespace, "configmap", "a", "--from-literal=k=v")
    kubectl("create", "-n", namespace, "secret", "generic", "a", "--from-literal=k=v")
    kubectl("create", "-n", namespace, "serviceaccount", "a")

    stored = kubectl("get", "-n", namespace, "configmap/a", "secret/a", "-o", "jsonpath={.items[*]['data', 'type']}")
    token = kubectl("create", "-n", namespace, "token", "a", "--audience=reports").stdout

    assert stored.stdout == '{"k":"v"} {"k":"dg=="} Opaque'
    assert token.count(".") == 2
    assert kubectl("auth", "can-i", "create", "pods").stdout == "yes\n"


def test_kubectl_explains_built_in_kinds(kubectl: Kubectl) -> None:
    text = kubectl("explain", "job.spec.podFailurePolicy.rules").stdout

    assert "FIELD: rules <[]PodFailurePolicyRule>" in text
    assert "onExitCodes" in text


def test_kubectl_says_that_there_is_no_such_kind(kubectl: Kubectl) -> None:
    manifest = "apiVersion: nowhere.example.com/v1\nkind: Thing\nmetadata: {name: x}\n"

    refused = kubectl("apply", "-f", "-", stdin=manifest, check=False)

    assert refused.returncode == 1
    assert 'no matches for kind "Thing" in version "nowhere.example.com/v1"' in refused.stderr
