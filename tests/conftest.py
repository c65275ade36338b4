"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kube-context",
        default=None,
        help="run the integration tests on the cluster of this kubeconfig context instead of the dev cluster",
    )
