"""Which cluster, as which user, in which namespace: as kubectl chooses."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetune.errors import FineTuneError, NoCluster, NotKnown

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NO_CLUSTER: Final = (
    "no cluster: there is no kubeconfig at {path}. Set KUBECONFIG, or pass --kubeconfig, to the file that your cluster's "
    "administrator or `kubectl config` wrote"
)


@dataclass(frozen=True)
class Connection:
    """A client of the API server, and the namespace that holds where none is named."""

    api: "ApiClient"
    namespace: str
    credentials: str
    """Whose, and where they come from: what a person is told of who is not let in."""


async def connect(kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """Connect by a kubeconfig: the one named, those of KUBECONFIG or ~/.kube/config; or else as the pod that this runs in.

    Raises:
        NoCluster: There is no kubeconfig, or it cannot be read.
        NotKnown: The program that it names for credentials gave none.
    """
    # The client's package takes a second to import: --help and completion of options do without.
    from kubernetes.aio.client import ApiClient, Configuration
    from kubernetes.aio.config import load_incluster_config, load_kube_config

    configuration = Configuration()
    paths = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    try:
        if _any_is_there(paths):
            with _heard_errors() as errors:
                loader = await load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=paths, context=context, client_configuration=configuration, persist_config=False
                )
            if errors and not (configuration.api_key or configuration.cert_file):
                raise NotKnown(
                    f"the program that the kubeconfig {paths} names for credentials gave none: {errors[-1]}; run it yourself, or log in again"
                )
            namespace, credentials = _of_context(loader.current_context, paths)
        elif kubeconfig or context or not _ACCOUNT.is_dir():
            raise NoCluster(_NO_CLUSTER.format(path=paths))
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            namespace = (_ACCOUNT / "namespace").read_text().strip()
            credentials = "those of this pod's service account"
    except FineTuneError:
        raise
    except Exception as error:  # whatever is in the file: the client's library checks little of it
        raise NoCluster(f"no cluster: the kubeconfig {paths} cannot be used: {_why(error, paths, context)}") from error
    return Connection(ApiClient(configuration), namespace, credentials)


def connect_as(token: str) -> Connection:
    """Connect a pod to its own cluster with the token of a user. The pod itself needs the cluster's CA, and no token.

    Raises:
        NoCluster: This is no pod.
    """
    from kubernetes.aio.client import ApiClient, Configuration

    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    if not host or not (_ACCOUNT / "ca.crt").is_file():
        raise NoCluster("no cluster: this is no pod of one, or its CA is not mounted")
    configuration = Configuration(host=f"https://{f'[{host}]' if ':' in host else host}:{port or 443}")
    configuration.ssl_ca_cert = str(_ACCOUNT / "ca.crt")
    configuration.api_key = {"BearerToken": f"Bearer {token}"}
    try:
        namespace = (_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        namespace = "default"
    return Connection(ApiClient(configuration), namespace, "those that came with the request")


@contextmanager
def _heard_errors() -> Iterator[list[str]]:
    """Hear what the client's library logs where the program for credentials fails: it goes on without them, as nobody."""
    errors: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(record.getMessage())

    logger, handler = logging.getLogger("kubernetes.aio.config.kube_config"), Handler(logging.ERROR)
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield errors
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _why(error: Exception, paths: str, context: str | None) -> str:
    """What is wrong with the kubeconfig: a context that it has not, or what the client's library says."""
    from kubernetes.aio.config import ConfigException, list_kube_config_contexts

    with suppress(Exception):
        names = [str(each["name"]) for each in list_kube_config_contexts(config_file=paths)[0]]  # type: ignore[no-untyped-call]
        if context and context not in names:
            return f"it has no context {context}; there are: {', '.join(names) or 'none'}"
    message = " ".join(str(error).split()) or type(error).__name__
    return message if isinstance(error, ConfigException | OSError) else f"it is no kubeconfig ({message})"


def _any_is_there(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep))


def _of_context(chosen: dict[str, Any], paths: str) -> tuple[str, str]:
    """The namespace of a context of the kubeconfig, and whose credentials it has."""
    inside = chosen.get("context", {})
    credentials = f"those of user {inside.get('user')} in {paths}, context {chosen.get('name')}"
    return str(inside.get("namespace") or "default"), credentials
