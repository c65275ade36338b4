"""Bodies that kubectl and Helm send as protobuf: namespaces, ConfigMaps, Secrets, service accounts and tokens of
`kubectl create`, those of `kubectl auth`, and Helm's releases. Field numbers are those of Kubernetes' generated.proto
files; all else must be JSON.
"""

import functools

from google.protobuf import descriptor_pool, json_format, message_factory, unknown_fields
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError, Message

from devcluster.apiserver.errors import ApiError, bad_request
from devcluster.apiserver.objects import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_PACKAGE = "k8s"

# name:number:type. A type in capitals is a message, `*` marks a repeated field, `map` a map of strings to the type.
_MESSAGES = {
    "Unknown": "typeMeta:1:TypeMeta raw:2:bytes contentEncoding:3:string contentType:4:string",
    "TypeMeta": "apiVersion:1:string kind:2:string",
    "ObjectMeta": "name:1:string generateName:2:string namespace:3:string selfLink:4:string uid:5:string"
    " resourceVersion:6:string generation:7:int32 creationTimestamp:8:Empty labels:11:map/string"
    " annotations:12:map/string finalizers:14:string*",
    "Empty": "",
    "ConfigMap": "metadata:1:ObjectMeta data:2:map/string binaryData:3:map/bytes immutable:4:bool",
    "Secret": "metadata:1:ObjectMeta data:2:map/bytes type:3:string stringData:4:map/string immutable:5:bool",
    "Namespace": "metadata:1:ObjectMeta spec:2:Empty status:3:NamespaceStatus",
    "NamespaceStatus": "phase:1:string",
    "ServiceAccount": "metadata:1:ObjectMeta automountServiceAccountToken:4:bool",
    "TokenRequest": "metadata:1:ObjectMeta spec:2:TokenRequestSpec status:3:TokenRequestStatus",
    "TokenRequestSpec": "audiences:1:string* boundObjectRef:3:BoundObjectReference expirationSeconds:4:int32",
    "TokenRequestStatus": "token:1:string expirationTimestamp:2:Empty",
    "BoundObjectReference": "kind:1:string apiVersion:2:string name:3:string uid:4:string",
    "SelfSubjectReview": "metadata:1:ObjectMeta status:2:Empty",
    "SelfSubjectAccessReview": "metadata:1:ObjectMeta spec:2:AccessReviewSpec status:3:AccessReviewStatus",
    "AccessReviewSpec": "resourceAttributes:1:ResourceAttributes nonResourceAttributes:2:NonResourceAttributes",
    "ResourceAttributes": "namespace:1:string verb:2:string group:3:string version:4:string resource:5:string"
    " subresource:6:string name:7:string",
    "NonResourceAttributes": "path:1:string verb:2:string",
    "DeleteOptions": "gracePeriodSeconds:1:int32 preconditions:2:Preconditions orphanDependents:3:bool"
    " propagationPolicy:4:string dryRun:5:string*",
    "Preconditions": "uid:1:string resourceVersion:2:string",
    "AccessReviewStatus": "allowed:1:bool reason:2:string evaluationError:3:string denied:4:bool",
}
_SCALARS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
}


def decode_protobuf(body: bytes) -> Object:
    """Decode the object in Kubernetes' envelope.

    Raises ApiError 415 for kinds and fields that are not in the table, so that nothing is lost.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the body is not in Kubernetes' protobuf envelope")
    envelope = _parse("Unknown", body[len(_MAGIC) :])
    kind = envelope.typeMeta.kind
    if kind not in _MESSAGES:
        raise _unsupported(kind)
    message = _parse(kind, envelope.raw)
    if _has_unknown(message):
        raise _unsupported(kind)
    obj: Object = json_format.MessageToDict(message, preserving_proto_field_name=True)
    for part in ("metadata", "spec", "status", "preconditions"):
        if part in obj:  # Go writes every string of a message, even an empty one
            obj[part] = {name: value for name, value in obj[part].items() if value not in ("", {}, 0)}
    return {"apiVersion": envelope.typeMeta.apiVersion, "kind": kind, **obj}


def _parse(name: str, data: bytes) -> Message:
    message: Message = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise bad_request(f"error decoding protobuf: {error}") from error
    return message


def _has_unknown(message: Message) -> bool:
    if len(unknown_fields.UnknownFieldSet(message)):
        return bool(message.DESCRIPTOR.name != "Empty")
    nested = [value for field, value in message.ListFields() if field.message_type and not _repeated(value)]
    return any(_has_unknown(value) for value in nested)


def _repeated(value: object) -> bool:
    return not isinstance(value, Message)


def _unsupported(kind: str) -> ApiError:
    message = (
        f"the dev cluster reads a {kind or 'body'} of this form as JSON or YAML only:"
        " add --dry-run=client -o yaml, and pipe the output to kubectl apply -f -"
    )
    return ApiError(415, "UnsupportedMediaType", message)


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = FileDescriptorProto(name="k8s.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            field_name, number, kind = text.split(":")
            field = message.field.add(name=field_name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
            if kind.startswith("map/"):
                entry = message.nested_type.add(name=field_name[:1].upper() + field_name[1:] + "Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=FieldDescriptorProto.TYPE_STRING, label=1)
                entry.field.add(name="value", number=2, type=_SCALARS[kind.removeprefix("map/")], label=1)
                kind = f"{name}.{entry.name}*"
            if kind.endswith("*"):
                field.label = FieldDescriptorProto.LABEL_REPEATED
                kind = kind.removesuffix("*")
            field.type = _SCALARS.get(kind, FieldDescriptorProto.TYPE_MESSAGE)
            if kind not in _SCALARS:
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool
