"""Steps that all writes share: check type and names, drop unknown fields, fill in defaults, validate."""

import re

from devcluster.apiserver.cel.rules import check_rules
from devcluster.apiserver.errors import FieldError, bad_request, invalid, invalid_value, required
from devcluster.apiserver.kinds import builtin
from devcluster.apiserver.objects import Object, metadata
from devcluster.apiserver.resources import Resource
from devcluster.apiserver.schemas.structural import apply_defaults, drop_nulls, normalise_quantities, prune
from devcluster.apiserver.schemas.validation import validate
from devcluster.apiserver.targets import Target

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_BLOCKING = (
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
    "FieldValueNotSupported",
)
_SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    f" '{_SUBDOMAIN.pattern}')"
)
_LABEL_HELP = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    f" with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL.pattern}')"
)
_LABEL_VALUE_HELP = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    f" '{_LABEL_VALUE.pattern}')"
)
_QUALIFIED_HELP = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    f" '{_QUALIFIED_NAME.pattern}')"
)


def check_type(target: Target, obj: Object) -> None:
    """Raise ApiError 400 unless the body has the kind, version and namespace of the request's path."""
    resource = target.resource
    version, kind = obj.setdefault("apiVersion", resource.api_version), obj.setdefault("kind", resource.kind)
    if resource.is_custom:
        name = (obj.get("metadata") or {}).get("name") or ""
        for field, found, wanted in (("kind", kind, resource.kind), ("apiVersion", version, resource.api_version)):
            if found != wanted:
                wrong = [invalid_value(field, found, f"must be {wanted}")]
                raise invalid(kind, resource.group, name, wrong)
    elif (version, kind) != (resource.api_version, resource.kind):
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}:'
            f' no kind "{kind}" is registered for version "{version}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
        )
    try:
        meta = metadata(obj)
    except TypeError:
        raise bad_request("metadata must be an object") from None
    if target.name and meta.setdefault("name", target.name) != target.name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})")
    if not resource.namespaced:
        meta.pop("namespace", None)
    elif meta.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def drop_unknown(resource: Resource, obj: Object, mode: str) -> list[str]:
    """Prune unknown fields in place. Raises ApiError 400 in mode Strict; returns the warnings in mode Warn."""
    found = [f'unknown field "{path}"' for path in prune(obj, resource.schema)]
    if found and mode == "Strict":
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
            f" strict decoding error: {', '.join(found)}"
        )
    return found if mode == "Warn" else []


def fill_defaults(resource: Resource, obj: Object) -> None:
    """Fill in defaults in place."""
    if resource.is_custom:
        apply_defaults(obj, resource.schema)
    else:
        normalise_quantities(obj, resource.schema)
        builtin.default(resource.kind, obj)


def check_decodable(resource: Resource, obj: Object) -> None:
    """Raise ApiError 400 if fields of a built-in kind have the wrong type: a real server cannot decode them."""
    if resource.is_custom:
        return
    drop_nulls(obj, resource.schema)
    _refuse_undecodable(resource, validate(obj, resource.schema), resource.kind)


def _undecodable(error: FieldError, struct: str) -> str:
    """Return Go's message for a value of a wrong type."""
    found = re.search(r"must be of type (\S+): \"(.*)\"$", error.message)
    wanted, given = found.groups() if found else ("", "")
    if wanted == "byte":
        return "illegal base64 data at input byte 0"
    if wanted.endswith("-time"):
        layout = "2006-01-02T15:04:05.000000Z07:00" if wanted == "micro-time" else "2006-01-02T15:04:05Z07:00"
        return f'parsing time "{given}" as "{layout}": cannot parse "{given}"'
    field = re.sub(r"\[\d+\]", "", error.field)
    given, wanted = given.replace("integer", "number"), wanted.replace("integer", "int32").replace("boolean", "bool")
    return f"json: cannot unmarshal {given} into Go struct field {struct}.{field} of type {wanted}"


def _refuse_undecodable(resource: Resource, errors: list[FieldError], struct: str) -> None:
    for error in errors:
        if error.reason == "FieldValueTypeInvalid":
            raise bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
                f" {_undecodable(error, struct)}"
            )


def check_valid(resource: Resource, obj: Object, old: Object | None, *, status_only: bool = False) -> None:
    """Raise ApiError 422 with every invalid field of an object; `old` is the object before the update."""
    errors = _check_metadata(resource, obj)
    if resource.is_custom:
        errors += _check_custom(resource, obj, old, status_only=status_only)
    elif not status_only:
        errors += builtin.check(resource.kind, obj)
        if old is not None and not errors:
            errors += builtin.check_update(resource.kind, obj, old)
    if errors:
        name = obj["metadata"].get("name") or obj["metadata"].get("generateName") or ""
        raise invalid(resource.kind, resource.group, name, errors)


def _check_custom(resource: Resource, obj: Object, old: Object | None, *, status_only: bool) -> list[FieldError]:
    errors = validate(obj, resource.schema)
    if status_only:
        # A spec that is no longer valid must not prevent that the status is written.
        errors = [error for error in errors if error.field.partition(".")[0].partition("[")[0] == "status"]
    if not resource.rules:
        return errors
    if any(error.reason in _BLOCKING for error in errors):
        unchecked = (
            "Invalid value: null: some validation rules were not checked because the object was invalid;"
            " correct the existing errors to complete validation"
        )
        return [*errors, FieldError("<nil>", "FieldValueInvalid", unchecked)]
    return errors + check_rules(resource.rules, obj, old, resource.schema)


def check_name(resource: Resource, name: str) -> list[FieldError]:
    """Return why a name is refused for this resource."""
    where = "metadata.name"
    if not name:
        return [required(where, "name or generateName is required")]
    if resource.group == "rbac.authorization.k8s.io":
        bad = "/" in name or "%" in name or name in (".", "..")
        return [invalid_value(where, name, "may not contain '/'")] if bad else []
    if resource.kind in ("Namespace", "Service"):
        errors = [] if _LABEL.fullmatch(name) else [invalid_value(where, name, _LABEL_HELP)]
        if len(name) > 63:
            errors.append(invalid_value(where, name, "must be no more than 63 characters"))
        return errors
    errors = [] if _SUBDOMAIN.fullmatch(name) else [invalid_value(where, name, _SUBDOMAIN_HELP)]
    if len(name) > 253:
        errors.append(invalid_value(where, name, "must be no more than 253 characters"))
    return errors


def _check_metadata(resource: Resource, obj: Object) -> list[FieldError]:
    meta = obj["metadata"]
    _refuse_undecodable(resource, validate(meta, resource.schema["properties"]["metadata"]), "ObjectMeta")
    errors = check_name(resource, meta.get("name") or "")
    for name in meta.get("finalizers") or ():
        errors += _check_key(name, "metadata.finalizers")
    for key, value in (meta.get("labels") or {}).items():
        errors += _check_key(key, "metadata.labels")
        if len(value) > 63:
            errors.append(invalid_value("metadata.labels", value, "must be no more than 63 bytes"))
        if not _LABEL_VALUE.fullmatch(value):
            errors.append(invalid_value("metadata.labels", value, _LABEL_VALUE_HELP))
    for key in meta.get("annotations") or {}:
        errors += _check_key(key.lower(), "metadata.annotations")
    return errors


def _check_key(key: str, where: str) -> list[FieldError]:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return [invalid_value(where, key, f"prefix part {_SUBDOMAIN_HELP}")]
    if not _QUALIFIED_NAME.fullmatch(name):
        return [invalid_value(where, key, _QUALIFIED_HELP)]
    return [invalid_value(where, key, "name part must be no more than 63 bytes")] if len(name) > 63 else []
