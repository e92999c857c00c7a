"""sbom.cdx.json: the same contents as a CycloneDX 1.6 bill of materials, for programs that look for known weaknesses.

Source: https://cyclonedx.org/docs/1.6/json. Packages inside of an image are that image's own components. Pure.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from cellar_offline.building.contents import Contents
from cellar_offline.building.images import Packed
from cellar_offline.building.metadata import Package
from cellar_offline.building.papers import licence_path
from cellar_offline.building.weights import Model
from cellar_offline.building.wheels import Wheel

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
VERSION = "1.6"
_ID = r"(MIT(-\w+)?|ISC|0BSD|Unlicense|Zlib|HPND|[A-Za-z]+(-[A-Za-z]+)*-\d[\w.+-]*)"
EXPRESSION = re.compile(rf"\(?{_ID}( (AND|OR|WITH) \(?([\w-]+-exception|{_ID})\)?)*")
"""What may be an SPDX expression; words like "BSD" or "Apache 2.0" are a name."""

Component = dict[str, Any]


def bill(contents: Contents) -> bytes:
    """The bytes of sbom.cdx.json. The serial number comes from the contents: the same gives the same."""
    own = f"bundle:{contents.name}@{contents.version}"
    components = [
        *(_image(each) for each in contents.images),
        *(_model(each) for each in contents.models),
        *(_wheel(each) for each in contents.wheels),
        *(_file(each.path, each.sha256, each.licence) for each in contents.files if each.kind in ("config", "tool")),
    ]
    table = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": VERSION,
        "version": 1,
        "metadata": {
            "timestamp": contents.built,
            "tools": {"components": [{"type": "application", "name": "cellar-offline", "version": contents.version}]},
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": contents.name,
                "version": contents.version,
                "properties": [{"name": "cellar:platform", "value": contents.platform}],
            },
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [each["bom-ref"] for each in components]}],
    }
    table["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(table, sort_keys=True))}"
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


def _image(each: Packed) -> Component:
    image = each.image
    ref = f"image:{image.reference}"
    found: Component = {
        "type": "container",
        "bom-ref": ref,
        "name": image.name,
        "version": image.tag,
        "hashes": _hashes(image.config),
        "properties": [
            {"name": "cellar:image-id", "value": image.id},
            *([{"name": "cellar:registry-digest", "value": image.digest}] if image.digest else []),
        ],
        "components": [_package(package, ref) for package in each.packages],
    }
    return found | _licences(each.licence)


def _package(package: Package, above: str) -> Component:
    found: Component = {
        "type": "library",
        "bom-ref": f"{above}#{package.purl}",
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    }
    return found | _licences(package.licence)


def _model(each: Model) -> Component:
    found: Component = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{each.name}",
        "name": each.name,
        "description": each.source,
        "properties": [{"name": "cellar:licence-text", "value": licence_path(each.name)}],
        "components": [_file(path, blob.sha256, "") for path, blob in each.files],
    }
    return found | _licences(each.licence)


def _wheel(each: Wheel) -> Component:
    found: Component = {
        "type": "library",
        "bom-ref": f"file:{each.path}",
        "name": each.package.name,
        "version": each.package.version,
        "purl": each.package.purl,
        "hashes": _hashes(each.blob.sha256),
        "properties": [{"name": "cellar:path", "value": each.path}],
    }
    return found | _licences(each.package.licence)


def _file(path: str, sha256: str, licence: str) -> Component:
    found: Component = {"type": "file", "bom-ref": f"file:{path}", "name": path, "hashes": _hashes(sha256)}
    return found | _licences(licence)


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _licences(licence: str) -> Component:
    if not licence:
        return {}
    if EXPRESSION.fullmatch(licence):
        return {"licenses": [{"expression": licence}]}
    return {"licenses": [{"license": {"name": licence}}]}
