"""The fixtures of the chaos suite; those of the integration tests give it a cluster and a release of the chart."""

from tests.chaos.fixtures import stage  # noqa: F401
from tests.integration.fixtures import finetune_crd, release  # noqa: F401
