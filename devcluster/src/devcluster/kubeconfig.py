"""Kubeconfig files."""

import base64
import json
from pathlib import Path


def write_kubeconfig(path: Path, *, url: str, ca: bytes, token: str, name: str = "devcluster") -> Path:
    """Write a kubeconfig with one context, readable by its owner alone. JSON is YAML."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()},
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(config, indent=2) + "\n")
    return path
