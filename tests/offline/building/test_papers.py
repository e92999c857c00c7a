"""MANIFEST.md, MANIFEST.ko.md and the SBOM say the same, all of it, and nothing that a package's author slips in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cellar_offline.building import inside, metadata
from cellar_offline.building.contents import Contents
from cellar_offline.building.images import Packed
from cellar_offline.building.metadata import DEB, NPM, PYPI, Package
from cellar_offline.building.papers import manifest_page, plain
from cellar_offline.building.sbom import bill
from cellar_offline.building.weights import Model
from cellar_offline.building.wheels import Wheel
from cellar_offline.building.words import LANGUAGES, words
from cellar_offline.imagelist import Listed
from cellar_offline.manifest import PLAIN, Blob, File, Image

EVIL = "<script>x</script> | [a](http://e.example) `b`"
KNOWN = {"type", "bom-ref", "name", "version", "description", "purl", "hashes", "licenses", "properties", "components"}
TYPES = {"application", "container", "library", "machine-learning-model", "file"}


def blob(letter: str) -> Blob:
    return Blob(letter * 64, 1024, PLAIN, (letter * 64,))


def contents(**more: Any) -> Contents:
    packages = (
        *(Package(DEB, "libfoo", "1.2-3", ""), Package(NPM, "@a/left", "3", "ISC")),
        Package(PYPI, "In_Lib", "4", "MIT"),
    )
    image = Image("cellar-hub", "dev", f"sha256:{'a' * 64}", None, "a" * 64, ("b" * 64,))
    wheel = Wheel("wheels/workspace/x.whl", blob("c"), Package(PYPI, EVIL, "1", EVIL), "https://a.example/x.whl")
    model = Model("tiny", "x/y@0123", "Apache-2.0", b"...", (("weights/tiny/m.safetensors", blob("d")),), ("m.bin",))
    files = (
        File("weights/tiny/m.safetensors", "d" * 64, 1024, "0644", "weights", "x/y@0123", "Apache-2.0"),
        File("wheels/workspace/x.whl", "c" * 64, 1024, "0644", "wheel", "https://a.example/x.whl", EVIL),
        File("target.json", "e" * 64, 1024, "0644", "config", "made with this bundle", "BSD-3-Clause"),
        File("docs/hub.md", "f" * 64, 1024, "0644", "doc", "Cellar's source", "BSD-3-Clause"),
    )
    values: dict[str, Any] = {
        "name": "cellar",
        "version": "7",
        "built": "2026-11-30T00:00:00Z",
        "platform": "linux/amd64",
        "python": "3.11",
        "since": None,
        "chunk_size": 1 << 26,
        "media": 5 << 20,
        "signer": "SHA256:abc",
        "files": files,
        "images": (Packed(image, Listed("cellar-hub:dev", None, "hub", "compose"), (("b" * 64, 2048),), "", packages),),
        "wheels": (wheel,),
        "models": (model,),
        "missing": ("vllm/vllm-openai:v0.33.0",),
    }
    return Contents(**values | more)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_names_everything_with_source_licence_size_and_hash(language: str) -> None:
    page = manifest_page(contents(), language)
    for each in contents().files:
        assert re.search(rf"(?m)^\|.*{each.sha256}", page)
    for word in ("cellar-hub:dev", f"sha256:{'a' * 64}", "x/y@0123", "SHA256:abc", "m.bin", "vllm/vllm-openai:v0.33.0"):
        assert word in page
    assert "{" not in page and "licences/tiny.txt" in page


def test_both_pages_have_the_same_tables() -> None:
    hashes = [re.findall(r"[0-9a-f]{64}", manifest_page(contents(), language)) for language in LANGUAGES]
    rows = [manifest_page(contents(), language).count("\n|") for language in LANGUAGES]
    assert hashes[0] == hashes[1] and rows[0] == rows[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_package_says_of_itself_is_text_and_nothing_else(language: str) -> None:
    page = manifest_page(contents(), language)
    assert "<script" not in page and "](http" not in page
    (row,) = (line for line in page.splitlines() if "c" * 64 in line)
    assert row.count("|") == 6
    assert plain("a\n# b\u2028c") == "a # b c"


def test_an_unsigned_page_says_so_first_and_a_delta_names_what_it_stands_on() -> None:
    head = manifest_page(contents(signer="", since="9" * 64), "en").partition("\n## ")[0]
    assert "NOBODY" in head and "9" * 12 in head


def test_every_sentence_stands_in_both_languages_with_the_same_names_in_it() -> None:
    for key, texts in words().items():
        assert set(texts) == set(LANGUAGES), key
        fields = [set(re.findall(r"\{(\w+)\}", text)) for text in texts.values()]
        assert fields[0] == fields[1], key
        assert re.search("[가-힣]", texts["ko"]), key


def components(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in table.get("components", []):
        yield each
        yield from components(each)


def test_the_sbom_has_all_that_cyclonedx_1_6_requires() -> None:
    table = json.loads(bill(contents()))
    assert (table["bomFormat"], table["specVersion"], table["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", table["serialNumber"])
    everything = [*components(table), table["metadata"]["component"]]
    assert len(everything) == 1 + 3 + 1 + 1 + 1 + 1 + 1
    for each in everything:
        assert each["type"] in TYPES and each["name"]
        for digest in each.get("hashes", []):
            assert digest["alg"] == "SHA-256" and re.fullmatch(r"[0-9a-f]{64}", digest["content"])
        for licence in each.get("licenses", []):
            assert set(licence) == {"expression"} or set(licence["license"]) == {"name"}
        assert set(each) <= KNOWN
    refs = [each["bom-ref"] for each in everything]
    assert len(set(refs)) == len(refs)
    assert {ref for row in table["dependencies"] for ref in (row["ref"], *row["dependsOn"])} <= set(refs)


def test_the_sbom_names_packages_as_scanners_know_them() -> None:
    table = json.loads(bill(contents()))
    purls = {each["purl"] for each in components(table) if "purl" in each}
    assert {"pkg:deb/debian/libfoo@1.2-3", "pkg:npm/%40a/left@3", "pkg:pypi/in-lib@4"} <= purls
    assert bill(contents()) == bill(contents())


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other", "MIT OR Apache-2.0"),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License", "BSD"),
        ("License: UNKNOWN", ""),
        ("Classifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: MIT License", "MIT License"),
        (
            f"License: {'Permission is hereby granted ' * 9}\nClassifier: License :: OSI Approved :: MIT License",
            "MIT License",
        ),
        ("License: # Terms\n  Copyright of somebody, who permits " + "much " * 20, metadata.OWN_TEXT),
        ("", ""),
    ],
)
def test_a_licence_is_the_expression_else_short_words_else_classifiers(lines: str, licence: str) -> None:
    text = f"Metadata-Version: 2.1\nName: a\nVersion: 1\n{lines}\n"
    assert metadata.of_metadata(text).licence == licence


def test_a_later_layer_replaces_and_removes_what_an_earlier_one_brought() -> None:
    one = [PYPI, "one", "1", "MIT"]
    two = [PYPI, "two", "2", "MIT"]
    base = {"packages": {"a/one-1.dist-info/METADATA": [one], "b/two-2.dist-info/METADATA": [two]}, "removed": []}
    assert len(inside.of_image([base])) == 2
    assert inside.of_image([base, {"packages": {}, "removed": ["a/one-1.dist-info"]}]) == (Package(*two),)
    assert inside.of_image([base, {"packages": {}, "removed": ["b"]}]) == (Package(*one),)
    newer = {"packages": {"a/one-1.dist-info/METADATA": [[PYPI, "one", "1.1", "MIT"]]}, "removed": []}
    assert {each.version for each in inside.of_image([base, newer])} == {"1.1", "2"}
