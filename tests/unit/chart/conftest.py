"""The chart, rendered by Helm's own engine (the Go code of Helm 4 as a shared library, in the wheel helm-python-sdk)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

CHART = Path(__file__).parents[3] / "charts" / "finetune-operator"

Json = dict[str, Any]
Render = Callable[..., dict[str, Json]]


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
            for document in yaml.load_all(text, Loader=yaml.CSafeLoader)  # ten times as fast as the one in Python
            if document
        ]
        objects = {_name(each, namespace): each for each in documents}
        assert len(objects) == len(documents)
        return objects

    return render_values


def _name(document: Json, home: str) -> str:
    metadata = document["metadata"]
    elsewhere = metadata.get("namespace", home) != home
    return "/".join([document["kind"], *([metadata["namespace"]] if elsewhere else []), metadata["name"]])
