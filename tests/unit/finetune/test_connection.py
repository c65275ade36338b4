"""As whom a pod asks its own cluster."""

from pathlib import Path

import pytest
import trustme

from finetune import connection
from finetune.errors import NoCluster, NotKnown

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: here, context: {cluster: c, user: u}}, {name: there, context: {cluster: c, user: u}}]
"""


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is mounted of a service account."""
    monkeypatch.setattr(connection, "_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    return tmp_path


async def test_a_pod_asks_with_its_user_s_token_and_never_with_its_own(account: Path) -> None:
    (account / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    (account / "namespace").write_text("team-a\n")
    (account / "token").write_text("of-the-pod")

    made = connection.connect_as("of-the-user")

    configuration = made.api.configuration
    assert made.namespace == "team-a"
    assert (configuration.host, configuration.ssl_ca_cert) == ("https://10.0.0.1:6443", str(account / "ca.crt"))
    assert configuration.api_key == {"BearerToken": "Bearer of-the-user"}
    assert configuration.refresh_api_key_hook is None
    await made.api.close()


async def test_outside_of_a_pod_there_is_no_cluster_to_ask(account: Path) -> None:
    with pytest.raises(NoCluster, match="this is no pod"):
        connection.connect_as("of-the-user")


@pytest.mark.parametrize(
    ("content", "context", "says"),
    [
        ("{", None, "it is no kubeconfig (while parsing"),
        ("just text", None, "it is no kubeconfig ("),
        ("[1, 2]", None, "it is no kubeconfig ("),
        (KUBECONFIG, "nope", "it has no context nope; there are: here, there"),
    ],
    ids=["no yaml", "text", "list", "context"],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named_with_what_is_wrong(
    tmp_path: Path, content: str, context: str | None, says: str
) -> None:
    path = tmp_path / "config"
    path.write_text(content)

    with pytest.raises(NoCluster) as raised:
        await connection.connect(str(path), context)

    assert str(raised.value).startswith(f"no cluster: the kubeconfig {path} cannot be used: {says}")


@pytest.mark.parametrize(
    ("command", "says"),
    [("/no/such/program", "No such file or directory"), ("false", "process returned 1"), ("true", "failed to decode")],
)
async def test_a_program_that_gives_no_credentials_is_told_and_nobody_asks_without_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, says: str
) -> None:
    path = tmp_path / "config"
    program = f"exec: {{command: '{command}', apiVersion: client.authentication.k8s.io/v1}}"
    path.write_text(KUBECONFIG.replace("user: {}", f"user: {{{program}}}"))

    with pytest.raises(NotKnown) as raised:
        await connection.connect(str(path))

    assert str(raised.value).startswith(f"the program that the kubeconfig {path} names for credentials gave none: ")
    assert says in str(raised.value)
    assert capfd.readouterr().err == ""
