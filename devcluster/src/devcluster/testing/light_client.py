"""Importing this imports the Kubernetes client, in half the time.

It would import kubernetes_validate where that is installed, for what nothing asks it for: a second of CPU in each worker. A test that
wants that package imports it itself.
"""

import importlib
import sys

if "kubernetes" not in sys.modules:
    sys.modules["kubernetes_validate"] = None  # type: ignore[assignment]
    importlib.import_module("kubernetes.aio")
    del sys.modules["kubernetes_validate"]
