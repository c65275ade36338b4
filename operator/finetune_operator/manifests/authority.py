"""The ConfigMap of a namespace with the authority of the report endpoint, which all pods of its jobs mount at /etc/finetune.

It is renewed while pods run, and is the same for all jobs.
"""

from finetune_api.base import JsonObject
from finetune_operator.job.names import AUTHORITY
from finetune_operator.manifests.metadata import shared_metadata

CA_FILE = "ca.crt"


def build_authority(namespace: str, ca: str) -> JsonObject:
    """ConfigMap with `ca`, the PEM bundle that the report endpoint's certificate verifies against."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": AUTHORITY, **shared_metadata(namespace)},
        "data": {CA_FILE: ca},
    }
