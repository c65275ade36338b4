"""The fixtures of the integration tests; the cluster, kubectl and plain HTTP come from the dev cluster's plugin."""

from tests.integration.fixtures import (  # noqa: F401
    enforced_quotas,
    enforced_rights,
    finetune_crd,
    operator_process,
    release,
    space,
    stand_in,
)
