"""As whom a pod asks its own cluster."""

from pathlib import Path

import pytest
import trustme

from finetune import connection
from finetune.errors import NoCluster


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
