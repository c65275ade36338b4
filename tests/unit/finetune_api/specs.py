"""Random specs of a FineTuneJob, drawn from the CRD's schema: most are right, some wrong in one or two places."""

import copy
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st
from tests.unit.finetune_api.api_server import SERVER_RESOURCE
from tests.unit.finetune_api.wrong_specs import BASE

SPEC_SCHEMA: Final[dict[str, Any]] = SERVER_RESOURCE.schema["properties"]["spec"]
Path = tuple[str | int, ...]

_EXAMPLES: Final = {
    "must be a Hugging Face Hub id": ["a", "org/name", "hf://datasets/a/b", "pvc://c/x", "s3://b/x", "https://h/x.csv"],
    "must be pvc://claim/path, s3://": ["pvc://claim", "s3://bucket/run", "hf://org/name"],
    "must be the name of a Kubernetes object": ["a", "a.b-c", "0"],
    "must be the name of a controller": ["finetune.dev/finetunejob-controller", "a.b-c/d", "a/B/c"],
    "must be a text of letters": ["2", "a.b:c+d", "2026-11-28"],
    "must be https://host/path": ["https://a", "http://a.b:80/c?d", "https://a/%23"],
    "must be https://host or http://host": ["https://mlflow.corp.example", "http://mlflow.ml:5000/path", "http://a"],
    "must be a Kubernetes quantity": ["4", "500m", "16Gi", ".5", "1.", "1e3", 4, 0],
}
_STRINGS: Final = [
    "",
    " ",
    "a",
    "a\n",
    "a\x0b",
    "a\x85",
    "a\u00a0b",
    "ſ",
    "\u2028",
    "ü" * 63,
    "..",
    "a/../b",
    "A_b",
    "null",
    "1",
]
_WRONG_TYPES: Final = [
    None,
    True,
    False,
    0,
    1,
    2.0,
    2.5,
    -1,
    2**63,
    1e300,
    "",
    "1",
    "true",
    "x",
    [],
    {},
    [None],
    {"a": None},
]
_KEYS: Final = [
    "a",
    "example.com/a",
    "kueue.x-k8s.io/queue-name",
    "finetune.dev/a",
    "batch.kubernetes.io/a",
    "a b",
    "",
    "a\n",
    "é",
]
_ARGUMENTS: Final = [{}, {"warmup_steps": 100}, {"debug": ["underflow"]}, {"a": {"b": 1}}, {"bf16": None}]


_SMALL: Final[dict[str, Any]] = {
    **BASE,
    "training": {"lora": {"targetModules": ["q_proj"]}},
    "evaluation": {"metrics": ["accuracy"]},
    "tracking": {"mlflow": {"uri": "http://a"}},
    "pod": {
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}],
        "imagePullSecrets": [{"name": "a"}],
        "tolerations": [{}],
    },
}
"""A right spec in which each list has an item, so that each field has a place."""


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a spec: any fields together, or a right spec; and then wrong values in up to two places."""
    spec = copy.deepcopy(draw(st.just(_SMALL) | _ANY_FIELDS))
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        path, schema = draw(st.sampled_from(_places(spec, SPEC_SCHEMA)))
        _put(spec, path, draw(st.sampled_from(_edges(schema))))
    return spec


def each_edge() -> Iterator[dict[str, Any]]:
    """Each field of the spec with each value at or beyond its limits, one at a time."""
    for path, schema in _places(_SMALL, SPEC_SCHEMA):
        for value in _edges(schema):
            spec = copy.deepcopy(_SMALL)
            _put(spec, path, value)
            yield spec


def _valid(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Draw a value that the schema takes; rules between fields may refuse it."""
    if schema.get("enum"):
        return st.sampled_from(schema["enum"])
    for rule in schema.get("x-kubernetes-validations", []):
        for words, examples in _EXAMPLES.items():
            if rule["message"].startswith(words):
                return st.sampled_from(examples)
    match schema.get("type"):
        case "object" if "properties" in schema:
            return _section(schema)
        case "object" if schema["additionalProperties"].get("type") == "string":
            return st.dictionaries(st.sampled_from(_KEYS[:3]), st.sampled_from(["", "a", "b-c"]), max_size=2)
        case "object":
            return st.sampled_from(_ARGUMENTS)
        case "array":
            return st.lists(_valid(schema["items"]), min_size=schema.get("minItems", 0), max_size=2)
        case "string":
            return st.sampled_from(["a", "A_b", "a" * schema["maxLength"]])
        case "boolean":
            return st.booleans()
    least, most = _bounds(schema)
    return st.sampled_from([least, most, *(n for n in (1, 2, 4, 6, 8) if least <= n <= most)])


def _section(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    named = {name: _valid(child) for name, child in schema["properties"].items()}
    required = schema.get("required", [])
    return st.fixed_dictionaries({name: named.pop(name) for name in required}, optional=named)


def _bounds(schema: dict[str, Any]) -> tuple[float, float]:
    step = 1 if schema["type"] == "integer" else 2**-20
    least = schema.get("minimum", 0) + (step if schema.get("exclusiveMinimum") else 0)
    most = schema.get("maximum", 2**31) - (step if schema.get("exclusiveMaximum") else 0)
    return least, most


def _edges(schema: dict[str, Any]) -> list[Any]:
    """Values at or beyond the limits of the schema, and of other types."""
    edges: list[Any] = [*_WRONG_TYPES, *schema.get("enum", [])]
    if "maximum" in schema or "minimum" in schema:
        least, most = schema.get("minimum", 0), schema.get("maximum", 2**31)
        edges += [least, least - 1, most, most + 1, float(most), least + 0.5, str(most)]
    if schema.get("type") == "string" or schema.get("x-kubernetes-int-or-string"):
        edges += [*_STRINGS, *(text for texts in _EXAMPLES.values() for text in texts)]
        edges += ["a" * size for size in (schema.get("maxLength", 0), schema.get("maxLength", 0) + 1)]
    if "maxItems" in schema and "properties" not in schema:
        edges += [["a"] * (schema["maxItems"] + 1)]
    if "maxProperties" in schema:
        edges += [{key: "a"} for key in _KEYS] + [{"a": text} for text in _STRINGS]
        edges += [{f"a{n}": "a" for n in range(schema["maxProperties"] + extra)} for extra in (0, 1)]
    if "properties" in schema:
        edges += [{name: None} for name in schema["properties"]] + [{"unknown": 1}]
    return copy.deepcopy(edges)


def _places(value: Any, schema: dict[str, Any], path: Path = ()) -> list[tuple[Path, dict[str, Any]]]:
    """Each field that is there or may be, below the spec."""
    found: list[tuple[Path, dict[str, Any]]] = [(path, schema)] if path else []
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            found += _places(value.get(name), child, (*path, name))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += _places(item, schema.get("items", {}), (*path, index))
    return found


def _put(spec: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at a path whose sections are there, or may have been replaced since."""
    holder: Any = spec
    for part in path[:-1]:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else holder[part]
    holder[path[-1]] = value


_ANY_FIELDS: Final = _valid(SPEC_SCHEMA)
