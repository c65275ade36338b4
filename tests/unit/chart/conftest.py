"""The chart, rendered by Helm's own engine (the Go code of Helm 4 as a shared library, in the wheel helm-python-sdk)."""

import pickle
from collections.abc import Iterator
from functools import cache
from typing import Any

import helm_python
import pytest
import yaml
from tests.unit.chart.values import CHART, Json, Render


@pytest.fixture(scope="session")
def chart() -> Iterator[helm_python.Chart]:
    with helm_python.Chart.load(CHART) as chart:
        yield chart


@pytest.fixture
def render(chart: helm_python.Chart) -> Render:
    """Objects by `kind/name`, or `kind/namespace/name` outside the release's; values as keywords. Helm checks them against the schema first, as `helm install` does."""

    def render_values(release: str = "ft", namespace: str = "ft-system", **values: Any) -> dict[str, Json]:
        chart.validate_schema(values)
        files = chart.render(values, name=release, namespace=namespace)
        documents = [
            document
            for path, text in files.items()
            if path.endswith(".yaml")
            for document in pickle.loads(_documents(text))  # noqa: S301 # our own
        ]
        objects = {_name(each, namespace): each for each in documents}
        assert len(objects) == len(documents)
        return objects

    return render_values


@cache
def _documents(text: str) -> bytes:
    """What YAML has, as pickle reads it: in a fiftieth of the time, and the CRDs are the same in each chart that is rendered."""
    # Ten times as fast as the loader in Python.
    return pickle.dumps([document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document])


def _name(document: Json, home: str) -> str:
    metadata = document["metadata"]
    elsewhere = metadata.get("namespace", home) != home
    return "/".join([document["kind"], *([metadata["namespace"]] if elsewhere else []), metadata["name"]])
