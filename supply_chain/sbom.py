"""The bill of materials of an image: CycloneDX 1.6 in JSON, from the lock files that the image is installed from.

The same locks give the same bytes, so that anybody can verify it by making it again.
https://cyclonedx.org/docs/1.6/json/
"""

import uuid
from collections.abc import Sequence

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from packageurl import PackageURL

from supply_chain.image import Image, Pinned

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_NAMESPACE = uuid.UUID("b6d84f0e-6a0c-4f5e-9a55-0d5c1f2d7f0a")
"""Of our serial numbers: a bill of the same parts has the same one."""


def sbom(image: Image, version: str, parts: Sequence[Pinned]) -> str:
    """Return the bill of materials of an image of this version of ours."""
    root = Component(name=image.name, version=version, type=ComponentType.CONTAINER, bom_ref=image.name)
    serial = uuid.uuid5(_NAMESPACE, f"{image.name} {version} {list(parts)}")
    bom = Bom(components=[_component(each) for each in parts], serial_number=serial)
    bom.metadata.component = root
    bom.register_dependency(root, bom.components)
    bom.metadata.timestamp = None  # type: ignore[assignment]
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return text + "\n"


def check_schema(text: str) -> None:
    """Raise ValueError if a bill of materials does not fulfil CycloneDX' schema."""
    from cyclonedx.validation.json import JsonStrictValidator  # a second of CPU, which other commands do without

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(str(error.data))


def _component(part: Pinned) -> Component:
    url = PackageURL("pypi", None, part.name, part.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(url.to_string()),
        comment="any of these files",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in part.hashes],
    )
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
        external_references=[files],
    )
