"""The controllers of kube-controller-manager that the dev cluster needs: Jobs, garbage collection, namespaces, service
accounts and volumes."""

from devcluster.controllers.manager import run_controllers

__all__ = ["run_controllers"]
