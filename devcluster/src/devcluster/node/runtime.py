"""The parts of a node that all its pods use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from devcluster.client import Client, Object
from devcluster.events import Recorder


@dataclass(frozen=True)
class Runtime:
    """The parts of a node that all its pods use. `restart_delay` and `retry_delay` are in seconds, `python_paths` as `run_node` has them."""

    client: Client
    recorder: Recorder
    node_name: str
    state_dir: Path
    restart_delay: float
    retry_delay: float
    python_paths: Mapping[str, Path] = field(default_factory=dict)

    @property
    def pods_dir(self) -> Path:
        return self.state_dir / "pods"

    def pod_dir(self, pod: Object) -> Path:
        """Return the folder of one pod: `volumes/NAME`, and `containers/NAME` with a log for each attempt."""
        return self.pods_dir / str(pod["metadata"]["uid"])

    def api_address(self) -> tuple[str, str]:
        """Return host and port of the API server, for KUBERNETES_SERVICE_HOST and _PORT."""
        address = urlsplit(self.client.server)
        return address.hostname or "", str(address.port or 443)
