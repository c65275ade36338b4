"""A node for any API server that has none: it schedules pods and runs their containers as local processes.

Not supported: images (commands are programs of this machine), mount, network and process namespaces (see `rewriting`),
cgroups (requests are counted, limits are not enforced, nothing is ever OOMKilled), users and capabilities of a
securityContext, probes and lifecycle hooks, sidecar containers, host aliases and ports, `kubectl exec` and
`port-forward`.
"""

from devcluster.node.node import run_node

__all__ = ["run_node"]
