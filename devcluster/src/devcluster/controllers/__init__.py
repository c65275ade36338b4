"""The part of kube-controller-manager that the dev cluster needs: Jobs, garbage, namespaces, accounts, volumes."""

from devcluster.controllers.manager import run_controllers

__all__ = ["run_controllers"]
