"""A custom resource that has what ours has: rules, defaults, lists of each type, status and columns."""

from devcluster.testing.api import Object

GROUP = "tests.example.com"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONDITIONS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
    },
}
SPEC: Object = {
    "type": "object",
    "required": ["task"],
    "x-kubernetes-validations": [{"rule": "self.task != 'b' || self.epochs == 3.0", "message": "b needs 3 epochs"}],
    "properties": {
        "task": {"type": "string", "enum": ["a", "b"]},
        "epochs": {"type": "number", "minimum": 1, "maximum": 10, "default": 3},
        "steps": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "multipleOf": 5},
        "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
        "list": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "value": {"type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]},
                },
            },
        },
        "arguments": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}},
        "free": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "free is immutable"}],
        },
        "port": {"x-kubernetes-int-or-string": True},
        "when": {"type": "string", "format": "date-time"},
        "maybe": {"type": "string", "nullable": True},
        "limits": {
            "type": "object",
            "properties": {"low": {"type": "integer", "default": 1}, "high": {"type": "integer"}},
            "x-kubernetes-validations": [
                {"rule": "!has(self.high) || self.low < self.high", "message": "above low", "fieldPath": ".high"}
            ],
        },
        "word": {
            "type": "string",
            "maxLength": 20,
            "x-kubernetes-validations": [
                {"rule": "self != 'bad'", "messageExpression": "'not ' + self", "reason": "FieldValueForbidden"}
            ],
        },
        "memory": {
            "type": "string",
            "maxLength": 20,
            "x-kubernetes-validations": [
                {"rule": "isQuantity(self) && quantity(self).isGreaterThan(quantity('1Mi'))", "message": "too small"}
            ],
        },
    },
}
STATUS = {
    "type": "object",
    "properties": {"phase": {"type": "string"}, "step": {"type": "integer"}, "conditions": CONDITIONS},
}
READY = '.status.conditions[?(@.type=="Ready")].status'


def definition(plural: str, spec: Object) -> Object:
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": STATUS}}
    columns = [
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Step", "type": "integer", "jsonPath": ".status.step"},
        {"name": "Ready", "type": "string", "jsonPath": READY, "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    names = {"plural": plural, "kind": plural.capitalize()[:-1], "shortNames": [plural[:2]], "categories": ["testing"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def thing(**spec: object) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Thing",
        "metadata": {"name": "x"},
        "spec": {"task": "a", **spec},
    }
