"""Options of the whole suite."""

import os

import pytest

# As `storage.remote` sets it before gcsfs is imported, which some test does earlier.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kube-context",
        default=None,
        help="run the integration tests on the cluster of this kubeconfig context instead of the dev cluster",
    )
