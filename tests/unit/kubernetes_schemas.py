"""Whether an object is what a version of Kubernetes takes, by its OpenAPI in kubernetes-validate, unknown fields included."""

import functools
from typing import Any

from kubernetes_validate.utils import Registry, Resource, jsonschema, schema_contents


def check_taken(manifest: dict[str, Any], version: str) -> None:
    """Raise jsonschema.ValidationError if it is not. What kubernetes_validate.validate does, but that a version's definitions are read once."""
    _validator(manifest["kind"], manifest["apiVersion"], version).validate(manifest)


@functools.cache
def _validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.partition(".")[0], number]))
    schema = schema_contents(f"{_folder(version)}/{name}.json", version)
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(version))


@functools.cache
def _definitions(version: str) -> Registry[Any]:
    definitions = schema_contents(f"{_folder(version)}/_definitions.json", version)
    return (Resource.from_contents(definitions) @ Registry[Any]()).crawl()


def _folder(version: str) -> str:
    return f"kubernetes-json-schema/v{version}.0-local-strict"
