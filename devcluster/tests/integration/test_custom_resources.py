"""Custom resources: schemas, defaults, pruning, CEL rules, status, columns; alike on the dev cluster and a real one."""

from collections.abc import Iterator

import pytest
from tests.integration.things import DEFINITIONS, GROUP, SPEC, definition, thing

from devcluster.testing.api import APPLY, MERGE, STRATEGIC, TABLE, Answer, Api, Object, eventually
from devcluster.testing.plugin import Kubectl


@pytest.fixture(scope="session")
def established(api: Api) -> Iterator[None]:
    path = f"{DEFINITIONS}/things.{GROUP}"
    assert api("POST", DEFINITIONS, definition("things", SPEC)).code == 201

    def ready() -> bool:
        conditions = api("GET", path).body["status"].get("conditions") or ()
        return {"type": "Established", "status": "True"}.items() <= {
            key: value for c in conditions if c["type"] == "Established" for key, value in c.items()
        }.items()

    eventually(ready, "the definition to be established")
    eventually(lambda: api("GET", f"/apis/{GROUP}/v1/things").code == 200, "the resource to be served")
    yield
    api("DELETE", path)


@pytest.fixture
def things(established: None, namespace: str) -> str:
    return f"/apis/{GROUP}/v1/namespaces/{namespace}/things"


def test_values_are_defaulted_and_pruned(api: Api, things: str) -> None:
    body = thing(foo=1, limits={"zz": 1}, free={"any": {"thing": [1, 2.5]}}, maybe=None, name=None, epochs=None)

    created = api("POST", things, body)

    assert created.code == 201
    assert created.body["spec"] == {
        "task": "a",
        "epochs": 3,
        "limits": {"low": 1},
        "free": {"any": {"thing": [1, 2.5]}},
        "maybe": None,
    }
    assert sorted(created.warnings) == [
        '299 - "unknown field \\"spec.foo\\""',
        '299 - "unknown field \\"spec.limits.zz\\""',
    ]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"task": "x"}, "spec.task", 'Unsupported value: "x": supported values: "a", "b"'),
        ({"task": None}, "spec.task", "Required value"),
        ({"epochs": 0}, "spec.epochs", "Invalid value: 0: spec.epochs in body should be greater than or equal to 1"),
        ({"epochs": 11}, "spec.epochs", "Invalid value: 11: spec.epochs in body should be less than or equal to 10"),
        ({"steps": 0}, "spec.steps", "Invalid value: 0: spec.steps in body should be greater than 0"),
        ({"steps": 7}, "spec.steps", "Invalid value: 7: spec.steps in body should be a multiple of 5"),
        (
            {"steps": "5"},
            "spec.steps",
            'Invalid value: "string": spec.steps in body must be of type integer: "string"',
        ),
        ({"name": "A1"}, "spec.name", "Invalid value: \"A1\": spec.name in body should match '^[a-z]+$'"),
        ({"name": "a"}, "spec.name", 'Invalid value: "a": spec.name in body should be at least 2 chars long'),
        ({"name": "abcdef"}, "spec.name", "Too long: may not be more than 5 bytes"),
        ({"list": ["a", "b", "c"]}, "spec.list", "Too many: 3: must have at most 2 items"),
        ({"list": []}, "spec.list", "Invalid value: 0: spec.list in body should have at least 1 items"),
        ({"list": "a"}, "spec.list", 'Invalid value: "string": spec.list in body must be of type array: "string"'),
        ({"set": ["a", "a"]}, "spec.set[1]", 'Duplicate value: "a"'),
        ({"map": [{"name": "a"}, {"name": "a"}]}, "spec.map[1]", 'Duplicate value: {"name":"a"}'),
        ({"map": [{"value": 1}]}, "spec.map[0].name", "Required value"),
        ({"arguments": {"a": 1, "b": 2, "c": 3}}, "spec.arguments", "Too many: 3: must have at most 2 items"),
        (
            {"arguments": {"a": "x"}},
            "spec.arguments.a",
            'Invalid value: "string": spec.arguments.a in body must be of type integer: "string"',
        ),
        (
            {"port": 1.5},
            "spec.port",
            'Invalid value: "number": spec.port in body must be of type integer,string: "number"',
        ),
        (
            {"when": "yesterday"},
            "spec.when",
            'Invalid value: "yesterday": spec.when in body must be of type date-time: "yesterday"',
        ),
        ({"limits": {"high": 1}}, "spec.limits.high", "Invalid value: above low"),
        ({"word": "bad"}, "spec.word", "Forbidden: not bad"),
        ({"memory": "5"}, "spec.memory", 'Invalid value: "5": too small'),
        ({"task": "b", "epochs": 4}, "spec", "Invalid value: b needs 3 epochs"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(api: Api, things: str, spec: Object, field: str, message: str) -> None:
    refused = api("POST", things, thing(**spec))

    causes = {cause["field"]: cause["message"] for cause in refused.body["details"]["causes"]}
    assert (refused.code, refused.body["reason"], causes.get(field)) == (422, "Invalid", message)
    assert f"{field}: {message}" in refused.message


def test_unknown_fields_are_refused_in_strict_mode(api: Api, things: str) -> None:
    refused = api("POST", f"{things}?fieldValidation=Strict", thing(foo=1))

    assert (refused.code, refused.message) == (
        400,
        'Thing in version "v1" cannot be handled as a Thing: strict decoding error: unknown field "spec.foo"',
    )


def test_another_kind_is_refused(api: Api, things: str) -> None:
    refused = api("POST", things, {**thing(), "kind": "Thong"})

    assert (refused.code, refused.fields) == (422, {"kind"})


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({"free": {"a": {"b": 1}}}, {"free": {"a": {"b": 2}}}, {"spec.free"}),
        ({"free": {"a": 1}}, {"free": {"a": 1}}, set()),
        ({}, {"free": {"a": 1}}, set()),
        ({"map": [{"name": "a", "value": 1}]}, {"map": [{"name": "a", "value": 2}]}, {"spec.map[0].value"}),
        (
            {"map": [{"name": "a", "value": 1}]},
            {"map": [{"name": "b", "value": 2}, {"name": "a", "value": 1}]},
            set(),
        ),
    ],
)
def test_transition_rules_compare_with_what_was_there(
    api: Api, things: str, before: Object, after: Object, fields: set[str]
) -> None:
    api("POST", things, thing(**before))

    changed = api("PATCH", f"{things}/x", {"spec": after}, MERGE)

    assert (changed.fields if changed.code == 422 else set()) == fields


def test_generation_counts_changes_of_the_spec_alone(api: Api, things: str) -> None:
    generations = [
        api("POST", things, thing()),
        api("PATCH", f"{things}/x", {"metadata": {"labels": {"a": "b"}}}, MERGE),
        api("PATCH", f"{things}/x/status", {"status": {"phase": "Running"}}, MERGE),
        api("PATCH", f"{things}/x", {"spec": {"epochs": 5}}, MERGE),
        api("PATCH", f"{things}/x", {"spec": {"epochs": 5}}, MERGE),
    ]

    assert [answer.body["metadata"]["generation"] for answer in generations] == [1, 1, 1, 2, 2]


def test_status_and_spec_are_written_apart(api: Api, things: str) -> None:
    created = api("POST", things, {**thing(), "status": {"phase": "Mine"}})
    patch = {"status": {"phase": "Running"}, "spec": {"epochs": 9}, "metadata": {"labels": {"a": "b"}}}
    status = api("PATCH", f"{things}/x/status", patch, MERGE)
    spec = api("PATCH", f"{things}/x", {"spec": {"epochs": 4}, "status": {"phase": "Other"}}, MERGE)
    wrong = api("PATCH", f"{things}/x/status", {"status": {"step": "one"}}, MERGE)

    assert "status" not in created.body
    assert (status.body["status"], status.body["spec"]["epochs"], "labels" in status.body["metadata"]) == (
        {"phase": "Running"},
        3,
        False,
    )
    assert (spec.body["status"], spec.body["spec"]["epochs"]) == ({"phase": "Running"}, 4)
    assert wrong.code == 422


def test_a_replacement_must_say_what_it_replaces(api: Api, things: str) -> None:
    api("POST", things, thing())

    refused = api("PUT", f"{things}/x", thing())

    assert (refused.code, refused.fields) == (422, {"metadata.resourceVersion"})


def test_a_strategic_patch_is_for_built_in_kinds(api: Api, things: str) -> None:
    api("POST", things, thing())

    assert api("PATCH", f"{things}/x", {"spec": {"epochs": 4}}, STRATEGIC).code == 415


def test_apply_merges_lists_as_the_schema_says(api: Api, things: str) -> None:
    def apply(manager: str, **spec: object) -> Answer:
        return api("PATCH", f"{things}/x?fieldManager={manager}", thing(**spec), APPLY)

    apply("one", map=[{"name": "a", "value": 1}, {"name": "b", "value": 2}], set=["p"], arguments={"m": 1})
    both = apply("two", map=[{"name": "c", "value": 3}], set=["q"], arguments={"n": 2})
    left = apply("one", map=[{"name": "b", "value": 2}])

    assert {name: both.body["spec"][name] for name in ("map", "set", "arguments")} == {
        "map": [{"name": "a", "value": 1}, {"name": "b", "value": 2}, {"name": "c", "value": 3}],
        "set": ["p", "q"],
        "arguments": {"m": 1, "n": 2},
    }
    assert {name: left.body["spec"][name] for name in ("map", "set", "arguments")} == {
        "map": [{"name": "b", "value": 2}, {"name": "c", "value": 3}],
        "set": ["q"],
        "arguments": {"n": 2},
    }


def test_apply_writes_status_and_owns_it(api: Api, things: str) -> None:
    api("POST", things, thing())
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "status": status}

    first = api("PATCH", f"{things}/x/status?fieldManager=op", body, APPLY)
    again = api("PATCH", f"{things}/x/status?fieldManager=op", body, APPLY)
    fewer = api("PATCH", f"{things}/x/status?fieldManager=op", {**body, "status": {"phase": "Done"}}, APPLY)

    assert (first.code, first.body["status"]) == (200, status)
    assert again.body["metadata"]["resourceVersion"] == first.body["metadata"]["resourceVersion"]
    assert fewer.body["status"] == {"phase": "Done"}
    entry = next(e for e in first.body["metadata"]["managedFields"] if e["manager"] == "op")
    assert (entry["subresource"], entry["fieldsV1"]) == (
        "status",
        {
            "f:status": {
                "f:conditions": {'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}},
                "f:phase": {},
            }
        },
    )


def test_columns_come_from_the_definition(api: Api, things: str) -> None:
    api("POST", things, thing())
    status = {"phase": "Running", "step": 7, "conditions": [{"type": "Ready", "status": "False"}]}
    api("PATCH", f"{things}/x/status", {"status": status}, MERGE)

    table = api("GET", things, accept=TABLE).body

    columns = [(column["name"], column["type"], column["priority"]) for column in table["columnDefinitions"]]
    assert columns == [
        ("Name", "string", 0),
        ("Phase", "string", 0),
        ("Step", "integer", 0),
        ("Ready", "string", 1),
        ("Age", "date", 0),
    ]
    assert table["rows"][0]["cells"][:4] == ["x", "Running", 7, "False"]


def test_kubectl_knows_short_names_categories_and_descriptions(
    kubectl: Kubectl, api: Api, things: str, namespace: str
) -> None:
    api("POST", things, thing())

    short, category = kubectl("get", "-n", namespace, "th"), kubectl("get", "-n", namespace, "testing", "-o", "name")
    explained = kubectl("explain", "things.spec.limits").stdout
    described = kubectl("describe", "-n", namespace, "th", "x").stdout

    assert short.stdout.split()[:5] == ["NAME", "PHASE", "STEP", "AGE", "x"]
    assert category.stdout == f"thing.{GROUP}/x\n"
    assert "high\t<integer>" in explained
    assert "Epochs:  3" in described
