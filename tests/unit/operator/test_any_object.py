"""Whatever the API server lets through, and whatever somebody writes into a status, is never an exception of ours."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.operator.samples import START, at, finetunejob, job, pod, received, running, terminated

from finetune_operator.kube_events import phase_event
from finetune_operator.manifests import build_children
from finetune_operator.manifests.job import changes, changes_after_the_end
from finetune_operator.manifests.pod import Surroundings
from finetune_operator.observe import Observation, parse_job, parse_pods
from finetune_operator.resource import parse_resource
from finetune_operator.status import compare, compute_status, to_manifest

CRD = yaml.safe_load((Path(__file__).parents[3] / "crds" / "finetunejobs.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a structural schema lets through; CEL and patterns are left aside, so these are too many."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(-5, 2**40) | st.text(max_size=8)
    least, most = schema.get("minimum"), schema.get("maximum")
    match schema.get("type"):
        case "object" if "properties" in schema:
            required = schema.get("required", [])
            fields = {name: values(child) for name, child in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: fields[name] for name in required},
                optional={name: fields[name] for name in fields if name not in required},
            )
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return st.dictionaries(st.text(max_size=6), values(schema["additionalProperties"]), max_size=3)
        case "array":
            return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case "string":
            words = st.sampled_from(["org/name", "pvc://claim/x", "2026-11-20T12:00:00Z", "0.5", "Error", "True"])
            return words | st.text(max_size=8)
        case "integer":
            return st.integers(least, most)
        case "number":
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case _:
            return junk_values


junk_values = st.none() | st.booleans() | st.floats(allow_nan=False) | st.lists(st.text(max_size=3), max_size=2)
specs = values(SCHEMA["spec"])
quantities = st.sampled_from(["1", "500m", "16Gi", "1e3"]) | st.integers(1, 64)
sources = st.sampled_from(["org/name", "pvc://claim.v1/x", "file:///data", "pvc://c"])
good_specs = st.fixed_dictionaries(
    {
        "task": st.just("text-classification"),
        "model": st.fixed_dictionaries({"source": sources}),
        "dataset": st.fixed_dictionaries({"source": sources, "train": st.just({"split": "train"})}),
    },
    optional={
        "training": st.fixed_dictionaries(
            {},
            optional={
                "epochs": st.floats(0.01, 10_000),
                "arguments": st.dictionaries(st.text(max_size=9), junk_values),
            },
        ),
        "output": st.fixed_dictionaries(
            {}, optional={"size": quantities, "retentionPolicy": st.sampled_from(["Retain", "Delete"])}
        )
        | st.just({"uri": "pvc://out/x"}),
        "resources": st.fixed_dictionaries(
            {}, optional={"gpus": st.integers(0, 1), "cpu": quantities, "memory": quantities}
        ),
        "suspend": st.booleans(),
        "runPolicy": values(SCHEMA["spec"]["properties"]["runPolicy"]),
        "checkpoints": st.fixed_dictionaries({"keep": st.integers(1, 16)}),
    },
)
statuses = values(SCHEMA["status"])
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(SCHEMA["status"]["properties"])), inner, max_size=4)
    ),
    max_leaves=8,
)
final_words = (
    st.text(max_size=40) | junk.map(json.dumps) | statuses.map(lambda status: json.dumps({"exitCode": 0, **status}))
)

thorough = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def observations(word: str) -> list[Observation]:
    pods = [
        parse_pods([pod()]),
        parse_pods([pod(state=running())]),
        parse_pods([pod(state=terminated(1, message=word)), pod(2, state=running())]),
    ]
    ends = [None, ("Complete", "", ""), ("Failed", "BackoffLimitExceeded", "")]
    report = received({"report": {"sequence": 1, "stage": "Training"}}, 2)
    observed = [Observation(job=parse_job(job(end=end)), pods=each, received=report) for end in ends for each in pods]
    return [Observation(), *observed]


def everything(raw: dict[str, Any], word: str = "") -> None:
    """All that is pure of a pass, for all that may be observed."""
    resource = parse_resource(raw)
    if resource.spec is not None:
        json.dumps(build_children(resource, resource.spec, Surroundings("i", "https://o", "PEM")).job)
        changes(None, resource.spec)
        changes_after_the_end(None, resource.spec)
    for observed in observations(word):
        status = compute_status(resource, observed, at(3600))
        compare(resource.status, status)
        phase_event(resource, status, START + timedelta(hours=1))
        written = json.loads(json.dumps(to_manifest(status)))
        again = parse_resource({**raw, "status": written})
        assert to_manifest(again.status) == written


@thorough
@given(specs)
def test_any_spec_of_the_schema(spec: dict[str, Any]) -> None:
    everything({**finetunejob(), "spec": spec})


@thorough
@given(good_specs, st.none() | statuses)
def test_any_good_spec_with_any_status(spec: dict[str, Any], status: dict[str, Any] | None) -> None:
    raw = {**finetunejob(status), "spec": spec}

    assert parse_resource(raw).problems == ""
    everything(raw)


@thorough
@given(statuses, final_words)
def test_any_status_of_the_schema_and_any_last_word(status: dict[str, Any], word: str) -> None:
    everything(finetunejob(status), word)


@thorough
@given(junk, final_words)
def test_any_nonsense_in_the_status(status: Any, word: str) -> None:
    everything({**finetunejob(), "status": status}, word)
