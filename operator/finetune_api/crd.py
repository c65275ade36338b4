"""pydantic → CustomResourceDefinition: a structural schema with defaults and CEL rules.

Kubernetes takes a subset of OpenAPI v3, see
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema.
A keyword that is not listed here is an error, and never dropped silently.
"""

import json
from functools import cache
from typing import Any, Final, NamedTuple

from finetune_api import profile
from finetune_api.base import OPERATOR_DEFAULT, ApiModel, JsonObject
from finetune_api.v1alpha1 import CATEGORY, GROUP, KIND, PLURAL, SHORT_NAME, SINGULAR, VERSION, FineTuneJob

_KEPT: Final = frozenset(
    {
        "type", "description", "format", "enum", "pattern", "required", "minimum", "maximum",
        "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
        "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)  # fmt: skip
_LEFT_OUT: Final = frozenset({"title", "$defs", OPERATOR_DEFAULT})


class NotStructural(ValueError):
    """A model has something that a CRD cannot express."""


def structural(schema: JsonObject) -> JsonObject:
    """Return the structural form of a JSON schema as pydantic makes it.

    Raises:
        NotStructural: The schema has a keyword or a union that Kubernetes does not take.
    """
    return _convert(schema, schema.get("$defs", {}), "")


def _convert(node: JsonObject, definitions: JsonObject, path: str) -> JsonObject:
    node = _inline(node, definitions, path)
    if not set(node) - {"title", "description", "default"}:
        return {**_described(node), "x-kubernetes-preserve-unknown-fields": True}
    result: JsonObject = {}
    for keyword, value in node.items():
        match keyword:
            case "properties":
                result[keyword] = {name: _convert(sub, definitions, f"{path}.{name}") for name, sub in value.items()}
            case "items":
                result[keyword] = _convert(value, definitions, f"{path}[]")
            case "additionalProperties":
                if value is not False:  # which means no more than pruning does
                    result[keyword] = _convert({} if value is True else value, definitions, f"{path}[*]")
            case "default":
                result.update(_default(node, value))
            case "const":
                result["enum"] = [value]
            case "exclusiveMinimum" | "exclusiveMaximum":
                result[{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}[keyword]] = value
                result[keyword] = True
            case _ if keyword in _KEPT:
                result[keyword] = value
            case _ if keyword not in _LEFT_OUT:
                raise NotStructural(f"{path or 'the schema'}: a CRD has no {keyword!r}")
    return result


def _inline(node: JsonObject, definitions: JsonObject, path: str) -> JsonObject:
    """Resolve `$ref` and `X | None`; the keywords beside them (description, default) win."""
    if "$ref" in node:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inline(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions, path), **beside}
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option != {"type": "null"}]
        if len(options) != 1:
            raise NotStructural(f"{path}: use optional fields and a rule rather than a union")
        beside = {key: value for key, value in node.items() if key != "anyOf"}
        return {**_inline(options[0], definitions, path), **beside}
    return node


def _default(node: JsonObject, value: Any) -> JsonObject:
    """Return the default of a node. Empty values need none, but a section does, since defaults are only set inside it.

    Kubernetes checks the rules of a section on its default exactly as written here, so it has to be complete.
    """
    is_section = node.get("type") == "object" and "properties" in node
    if is_section and value is not None:
        fields: JsonObject = node["properties"]
        ours = {name: sub for name, sub in value.items() if OPERATOR_DEFAULT not in fields.get(name, {})}
        return {"default": _without_empty(ours)}
    return {} if value in (None, [], {}) or OPERATOR_DEFAULT in node else {"default": value}


def _without_empty(value: JsonObject) -> JsonObject:
    inner = {name: _without_empty(sub) if isinstance(sub, dict) else sub for name, sub in value.items()}
    return {name: sub for name, sub in inner.items() if sub not in (None, [], {})}


def _described(node: JsonObject) -> JsonObject:
    return {"description": node["description"]} if "description" in node else {}


def _column(name: str, kind: str, path: str, description: str, *, wide: bool = False) -> JsonObject:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": 1} if wide else column


PRINTER_COLUMNS: Final = [
    _column("Phase", "string", ".status.phase", "Phase of the job."),
    _column("Progress", "integer", ".status.progress.percent", "Training done, in percent."),
    _column("Epoch", "string", ".status.progress.epoch", "Passes over the training rows."),
    _column("Loss", "string", '.status.metrics[?(@.name=="loss")].value', "Training loss."),
    _column("Best", "string", ".status.bestCheckpoint.value", "Best value of evaluation.bestMetric."),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the job was created."),
    _column("ETA", "integer", ".status.progress.etaSeconds", "Estimated time left, in seconds.", wide=True),
    _column("Checkpoint", "integer", ".status.latestCheckpoint.step", "Step of the latest checkpoint.", wide=True),
    _column("Run", "integer", ".status.run.number", "Number of the run, which spec.runToken counts on.", wide=True),
    _column("Message", "string", ".status.message", "Why it is so.", wide=True),
]

PROFILE_COLUMNS: Final = [
    _column("GPUs", "integer", ".spec.limits.gpus", "Most GPUs of each pod."),
    _column("Nodes", "integer", ".spec.limits.nodes", "Most pods of a job."),
    _column("Accelerator", "string", ".spec.defaults.accelerator.resource", "What a GPU is."),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the profile was created."),
]


def custom_resource_definition() -> JsonObject:
    """Return the CRD of FineTuneJob, as `kubectl apply` takes it."""
    names = _Names(KIND, PLURAL, SINGULAR, SHORT_NAME)
    crd = _definition(FineTuneJob, names, scope="Namespaced", columns=PRINTER_COLUMNS)
    crd["spec"]["versions"][0]["subresources"] = {"status": {}}
    return crd


def profile_definition() -> JsonObject:
    """Return the CRD of FineTuneProfile, as `kubectl apply` takes it."""
    names = _Names(profile.KIND, profile.PLURAL, profile.SINGULAR, profile.SHORT_NAME)
    return _definition(profile.FineTuneProfile, names, scope="Cluster", columns=PROFILE_COLUMNS)


class _Names(NamedTuple):
    kind: str
    plural: str
    singular: str
    short: str


@cache
def _json_schema(model: type[ApiModel]) -> str:
    """Its JSON schema as text, of which each definition is made anew: pydantic takes a tenth of a second for it."""
    return json.dumps(model.model_json_schema())


def _definition(model: type[ApiModel], names: _Names, *, scope: str, columns: list[JsonObject]) -> JsonObject:
    schema = structural(json.loads(_json_schema(model)))
    schema["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        **schema["properties"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": [names.short],
                "categories": [CATEGORY],
            },
            "scope": scope,
            "versions": [version],
        },
    }
