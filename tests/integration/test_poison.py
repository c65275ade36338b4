"""Objects that no parser likes, from before the schema was bounded: the others go on, and these are refused by name."""

import copy
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
import yaml
from tests.integration.fixtures import ROOT, OperatorProcess, Space, finetunejob
from tests.integration.played_node import PlayedNode, played_node

from devcluster.testing.api import wait_for

CRD = yaml.load((ROOT / "crds" / "finetunejobs.yaml").read_text(), Loader=yaml.CSafeLoader)
MAX_RSS = 300 * 1024**2


@contextmanager
def without_bounds(space: Space) -> Iterator[None]:
    """The definition as it was before training.arguments was bounded."""
    old = copy.deepcopy(CRD)
    spec = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    arguments = spec["properties"]["training"]["properties"]["arguments"]
    arguments["additionalProperties"] = {"x-kubernetes-preserve-unknown-fields": True}
    define(space, old)
    try:
        yield
    finally:
        define(space, CRD)


def define(space: Space, crd: dict[str, Any]) -> None:
    """Put the definition in place, and wait until the API server goes by it."""
    space.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(crd))
    wait_for(
        lambda: "is invalid" in create(space, "probe", "[[1]]", "?dryRun=All"),
        lambda refused: refused == (crd is CRD),
        "the schema to be in place",
    )


def create(space: Space, name: str, argument: str, query: str = "") -> str:
    """Post a job with one argument, given as JSON that no library need be able to write."""
    body = json.dumps(finetunejob(name, training={"arguments": {"a": "PLACE"}})).replace('"PLACE"', argument)
    path = f"/apis/finetune.dev/v1alpha1/namespaces/{space.namespace}/finetunejobs{query}"
    return space.kubectl("create", "--raw", path, "-f", "-", stdin=body, check=False)


def status_of(space: Space, name: str) -> dict[str, Any]:
    """The status alone: what else there is no parser of ours takes."""
    text = space.kubectl("get", "ftj", name, "-o", "jsonpath={.status}")
    return json.loads(text) if text else {}


def the_operator_is_well(operator: OperatorProcess) -> None:
    assert operator.process is not None
    assert operator.process.poll() is None
    assert operator.get("/healthz")[0] == 200
    assert psutil.Process(operator.process.pid).memory_info().rss < MAX_RSS


@pytest.fixture(scope="module")
def poisoned(space: Space, operator_process: OperatorProcess) -> Iterator[list[str]]:
    """Names of jobs that are deep, and of jobs that are large."""
    # Those of before may be on their way out where a worker comes back to this module.
    made = uuid.uuid4().hex[:8]
    deep = {
        **{f"lists-{depth}-{made}": "[" * depth + "]" * depth for depth in (100, 900, 1200, 9000)},
        **{f"maps-{depth}-{made}": '{"a":' * depth + "1" + "}" * depth for depth in (100, 900, 1200, 2000)},
    }
    large = {f"large-{number}-{made}": json.dumps([{"k": "v" * 1000}] * 1190) for number in range(12)}
    with without_bounds(space):
        for name, arguments in {**deep, **large}.items():
            answer = create(space, name, arguments)
            assert f'"name":"{name}"' in answer, answer[-500:]
    yield [*deep, *large]
    space.kubectl("delete", "ftj", *deep, *large, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def node(space: Space) -> Iterator[PlayedNode]:
    with played_node(space) as made:
        yield made


@pytest.mark.slow
def test_poison_is_refused_by_name_and_the_others_go_on(
    space: Space, node: PlayedNode, operator_process: OperatorProcess, poisoned: list[str]
) -> None:
    space.apply(finetunejob("beside-poison", pod={"nodeSelector": node.selector}))

    node.carry_out("beside-poison")
    assert space.end_of("beside-poison")["phase"] == "Succeeded"
    for name in poisoned:
        failed = wait_for(lambda name=name: status_of(space, name), lambda now: "failure" in now, name)
        assert (failed["phase"], failed["failure"]["reason"]) == ("Failed", "InvalidSpec"), name
        wrong = r"spec: has \d{6,7} bytes" if name.startswith("large") else r"spec: is nested \d+ deep"
        assert re.match(wrong, failed["message"]), failed["message"]
    the_operator_is_well(operator_process)


@pytest.mark.slow
def test_an_operator_that_starts_beside_poison_serves_the_others(
    space: Space, node: PlayedNode, operator_process: OperatorProcess, poisoned: list[str]
) -> None:
    operator_process.end()
    operator_process.start()
    space.apply(finetunejob("after-poison", pod={"nodeSelector": node.selector}))

    node.carry_out("after-poison")
    assert space.end_of("after-poison")["phase"] == "Succeeded"
    the_operator_is_well(operator_process)
