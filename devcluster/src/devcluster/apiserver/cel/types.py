"""Static CEL types from schemas, so that a misspelt field is found when a definition is created.

cel-expr-python checks the fields of protobuf messages only. So each object of a schema becomes a message type that
exists for the check alone; rules are evaluated on plain maps.
"""

import functools
from typing import Any

from cel_expr_python import cel
from google.protobuf import descriptor_pool, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from devcluster.apiserver.objects import Object

_PACKAGE = "schema"
_DYN = ".google.protobuf.Value"
_WELL_KNOWN = (struct_pb2, timestamp_pb2, wrappers_pb2)
_SCALARS: dict[str, tuple[int, cel.Type, str]] = {
    "string": (FieldDescriptorProto.TYPE_STRING, cel.Type.STRING, "StringValue"),
    "integer": (FieldDescriptorProto.TYPE_INT64, cel.Type.INT, "Int64Value"),
    "number": (FieldDescriptorProto.TYPE_DOUBLE, cel.Type.DOUBLE, "DoubleValue"),
    "boolean": (FieldDescriptorProto.TYPE_BOOL, cel.Type.BOOL, "BoolValue"),
}
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ROOT_METADATA: Object = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}


@functools.lru_cache(maxsize=4096)
def escaped(name: str) -> str:
    """Return a property's name as a CEL identifier, with Kubernetes' escapes for names that CEL cannot parse."""
    if name in _RESERVED:
        return f"__{name}__"
    for character, escape in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(character, escape)
    return name


def static_type(schema: Object, *, root: bool = False) -> tuple[cel.Type, descriptor_pool.DescriptorPool]:
    """Return the type of a schema's values and the pool with its messages. The root also has a name."""
    types = _Types()
    if root:
        texts = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _ROOT_METADATA}
        schema = {**schema, "properties": {**(schema.get("properties") or {}), **texts}}
    found = types.cel_type(schema)
    return found, types.pool()


class _Types:
    """Collects the messages of one schema in one file descriptor."""

    def __init__(self) -> None:
        self._file = FileDescriptorProto(name="schema.proto", package=_PACKAGE, syntax="proto3")
        self._file.dependency.extend(module.DESCRIPTOR.name for module in _WELL_KNOWN)

    def pool(self) -> descriptor_pool.DescriptorPool:
        pool = descriptor_pool.DescriptorPool()
        for module in _WELL_KNOWN:
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        pool.AddSerializedFile(self._file.SerializeToString())
        return pool

    def cel_type(self, schema: Object) -> cel.Type:
        """Return the type of a value; lists and maps may nest."""
        kind = _kind(schema)
        if kind in _SCALARS:
            return _SCALARS[kind][1]
        if kind == "timestamp":
            return cel.Type.TIMESTAMP
        if kind == "array":
            return cel.Type.List(self.cel_type(schema.get("items") or {}))
        if kind == "map":
            return cel.Type.Map(cel.Type.STRING, self.cel_type(schema["additionalProperties"]))
        return cel.Type(self._message(schema).lstrip(".")) if kind == "object" else cel.Type.DYN

    def _message(self, schema: Object) -> str:
        """Define the message of an object; return its full name."""
        name = f"Object{len(self._file.message_type)}"
        message = self._file.message_type.add(name=name)
        for number, (property_name, child) in enumerate((schema.get("properties") or {}).items(), start=1):
            identifier = escaped(property_name)
            if identifier.isidentifier() and _kind(child):
                field = message.field.add(name=identifier, number=number, json_name=f"field{number}")
                self._fill(message, field, child)
        return f".{_PACKAGE}.{name}"

    def _fill(self, message: DescriptorProto, field: FieldDescriptorProto, schema: Object) -> None:
        """Set the type of a field.

        Messages cannot hold lists of lists: those are checked only when a rule is evaluated.
        """
        kind = _kind(schema)
        if kind == "array":
            field.label = FieldDescriptorProto.LABEL_REPEATED
            self._set_type(field, schema.get("items") or {})
        elif kind == "map":
            field.label = FieldDescriptorProto.LABEL_REPEATED
            # protobuf prescribes the name of a map's entry message.
            words = [word[:1].upper() + word[1:] for word in field.name.split("_")]
            entry = message.nested_type.add(name="".join(words) + "Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=FieldDescriptorProto.TYPE_STRING, label=1)
            self._set_type(entry.field.add(name="value", number=2, label=1), schema["additionalProperties"])
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{message.name}.{entry.name}"
        else:
            field.label = FieldDescriptorProto.LABEL_OPTIONAL
            self._set_type(field, schema)

    def _set_type(self, field: FieldDescriptorProto, schema: Object) -> None:
        kind = _kind(schema)
        if kind in _SCALARS and not schema.get("nullable"):
            field.type = _SCALARS[kind][0]
            return
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        if kind in _SCALARS:
            field.type_name = f".google.protobuf.{_SCALARS[kind][2]}"
        elif kind == "timestamp":
            field.type_name = ".google.protobuf.Timestamp"
        else:
            field.type_name = self._message(schema) if kind == "object" else _DYN


def _kind(schema: Object) -> str:
    """Return the CEL kind of a schema; empty for values that rules cannot use."""
    if schema.get("x-kubernetes-int-or-string"):
        return "dyn"
    kind: Any = schema.get("type") or ""
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return "map"
    return "timestamp" if kind == "string" and schema.get("format") == "date-time" else str(kind)
