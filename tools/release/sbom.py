"""Adds a software bill of materials (CycloneDX 1.6, PEP 770) to a wheel.

It lists what the wheel requires, and, for the wheel of the constructs, what is packed inside it for
instances, with the versions and digests of `bundle_pins.json`.
"""

from __future__ import annotations

import json
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import Parser
from pathlib import Path
from typing import Final

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from wheel.wheelfile import WheelFile

from tools.release.errors import ReleaseError

#: Where a wheel has its bills of materials, below its metadata (PEP 770).
FOLDER: Final = "sboms"
#: What is packed for instances in the wheel of the constructs.
_BUNDLE: Final = "worker_tier/_bundle/daemon.zip"
_EARLIEST_ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)


def add_sbom(wheel: Path, pins: Path) -> str:
    """Write the bill of materials of a wheel into it. Returns its name in the wheel.

    Args:
        pins: `bundle_pins.json`: version and digest of each distribution packed for instances.

    Raises:
        ReleaseError: the document does not conform to its schema, or the wheel has one.
    """
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (metadata,) = (name for name in files if name.endswith(".dist-info/METADATA"))
    folder = metadata.removesuffix("/METADATA")
    name = f"{folder}/{FOLDER}/{wheel.name.split('-')[0]}.cdx.json"
    if name in files:
        raise ReleaseError(f"{wheel.name} has a bill of materials")
    packed = json.loads(pins.read_text(encoding="utf-8")) if _BUNDLE in files else {}
    document = _document(files[metadata].decode(), packed)
    added = {**files, name: document.encode()}
    wheel.unlink()
    with WheelFile(wheel, "w") as archive:  # it writes RECORD anew
        for path in sorted(added):
            if path != f"{folder}/RECORD":
                archive.writestr(zipfile.ZipInfo(path, _EARLIEST_ZIP_DATE), added[path])
    return name


def _document(metadata: str, packed: dict[str, dict[str, str]]) -> str:
    fields = Parser().parsestr(metadata)
    subject = _component(fields["Name"], fields["Version"])
    subject.licenses.add(LicenseExpression(fields["License-Expression"]))
    required = list(_required(fields.get_all("Requires-Dist") or []))
    inside = [_packed(name, pin) for name, pin in sorted(packed.items())]
    # The same metadata and pins give the same document.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, metadata + json.dumps(packed, sort_keys=True))
    bom = Bom(serial_number=serial, components=[*required, *inside])
    bom.metadata.component = subject
    bom.register_dependency(subject, [*required, *inside])
    output = json.loads(JsonV1Dot6(bom).output_as_string())
    del output["metadata"]["timestamp"]
    text = json.dumps(output, indent=1, sort_keys=True) + "\n"
    if (error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise ReleaseError(f"the bill of materials does not conform to CycloneDX: {error}")
    return text


def _required(lines: Iterable[str]) -> Iterator[Component]:
    for line in lines:
        requirement = Requirement(line)
        component = _component(requirement.name, None)
        component.bom_ref.value = f"requires:{line}"
        component.properties.add(Property(name="python:requirement", value=line))
        if requirement.marker is not None and "extra" in str(requirement.marker):
            component.scope = ComponentScope.OPTIONAL
        yield component


def _packed(name: str, pin: dict[str, str]) -> Component:
    component = _component(name, pin["version"])
    component.bom_ref.value = f"packed:{name}"
    component.properties.add(Property(name="worker-tier:packed-in", value=_BUNDLE))
    # Of the files that are packed, which are not all of the distribution.
    component.properties.add(Property(name="worker-tier:packed-sha256", value=pin["sha256"]))
    return component


def _component(name: str, version: str | None) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=PackageURL("pypi", None, name.lower().replace("_", "-"), version),
    )
