"""offline.toml: read strictly, and what is wrong is named with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cellar_offline.building.house import House
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.recipe import Recipe, parse

from tests.offline.building.conftest import ROOT
from tools import bundle

EXAMPLE = ROOT / "offline" / "offline.toml.example"
HUB = '[[weights]]\nname = "a"\nfrom = "hub"\nrepo = "x/y"\n'


def recipe(text: str) -> Recipe:
    return parse(text, Path("here/offline.toml"), "7")


def test_the_example_is_cellar_with_the_images_that_are_made_here() -> None:
    found = parse(EXAMPLE.read_text(), EXAMPLE, "7")
    assert (found.name, found.version, found.key, found.weights, found.wheels) == ("cellar", "7", None, (), ())
    assert bundle.built_here(found) == ["hub", "workspace", "model", "overlays", "prove"]
    assert House(ROOT).target(found).overlays == ("postgres", "redis", "tls")


def test_every_key_that_the_example_shows_is_known() -> None:
    lines = EXAMPLE.read_text().splitlines()
    told = re.compile(r"# ?(\[+[a-z.]+\]+( +#.*)?|[a-z_]+ = .*)")
    whole = "\n".join(found[1] if (found := told.fullmatch(line)) else line for line in lines)
    found = parse(whole, EXAMPLE, "7")
    assert found.key and found.images and found.images.more and found.wheels[0].lock and found.weights[0].exclude
    assert found.wheels[0].files == (EXAMPLE.parent / "../dist/*.whl",)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ('name = "a"\nnmae = "b"', 2, "nmae"),
        ("[images]\noverlays = []\noverlay = []", 3, "images.overlay"),
        (
            '[[wheels]]\nfolder = "a"\nfiles = ["b"]\n\n[[wheels]]\nfolder = "b"\nfiles = ["b"]\nfile = 1',
            8,
            "wheels.file",
        ),
        ("[image]\noverlays = []", 1, "image"),
        ('chunk_size = "1T"', 1, "chunk_size"),
        ('chunk_size = "300M"', 1, "chunk_size"),
        ("chunk_size = 5", 1, "chunk_size"),
        ('platform = "windows/amd64"', 1, "platform"),
        ("jobs = -1", 1, "jobs"),
        ("docs = 1", 1, "docs"),
        ('[images.more]\ngpu = "noTag"', 1, "images.more"),
        ('[[wheels]]\nfolder = "../a"\nrequirements = ["b"]', 2, "wheels.folder"),
        ('[[wheels]]\nfolder = "a"', 1, "wheels.requirements"),
        ('[[weights]]\nname = "a"\nfrom = "url"', 3, "weights.from"),
        ('[[weights]]\nname = "a"\nfrom = "folder"', 1, "weights.folder"),
        (HUB, 1, "weights.revision"),
        (f'{HUB}revision = "main"', 5, "weights.revision"),
        (f'{HUB}revision = "v1.0"', 5, "weights.revision"),
        ('[[weights]]\nname = "a"\nfrom = "embedded"\nrepo = "x/y"', 4, "weights.repo"),
        ("[target]\nmemory = 4", 2, "target.memory"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, key: str) -> None:
    with pytest.raises(CannotBuild, match=rf"here/offline\.toml, line {line}: {re.escape(key)}"):
        recipe(text)


def test_make_bundle_signs_with_the_key_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bundle.arguments(EXAMPLE, recipe("")) == [
        *("build", "-c", str(EXAMPLE), "--out", str(ROOT / "dist" / "bundle"), "--allow-unsigned")
    ]
    assert "test bundle" in capsys.readouterr().out
    monkeypatch.setenv("KEY", "k")
    monkeypatch.setenv("SINCE", "old")
    assert bundle.arguments(EXAMPLE, recipe(""))[5:] == ["--since", "old", "--key", "k"]
    monkeypatch.delenv("KEY")
    assert "--allow-unsigned" not in bundle.arguments(EXAMPLE, recipe('key = "k"'))


@pytest.mark.parametrize("text", ["a = ", "a = 1\na = 2", 'images = "x"', "wheels = 3"])
def test_a_file_that_is_no_recipe_is_named(text: str) -> None:
    with pytest.raises(CannotBuild, match=r"offline\.toml"):
        recipe(text)


def test_a_name_may_stand_for_one_thing() -> None:
    weights = '[[weights]]\nname = "a"\nfrom = "embedded"\n'
    with pytest.raises(CannotBuild, match="twice"):
        recipe(weights + weights)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[images]\noverlays = ["postgress"]', "no overlay 'postgress'"),
        ('[images]\nleave_out = ["cellar-hubb"]', "'cellar-hubb' is none of"),
        ('[images.more]\na = "cellar-hub:dev"', "in the bundle already"),
    ],
)
def test_an_overlay_or_image_that_is_none_is_named(text: str, words: str) -> None:
    with pytest.raises(CannotBuild, match=words):
        House(ROOT).wanted_images(recipe(text))


def test_a_preset_that_is_none_is_named_with_those_that_are() -> None:
    house = House(ROOT)
    assert house.target(recipe('[target]\npreset = "24gb"')).named("24gb").gpu_gib > 20
    with pytest.raises(CannotBuild, match="24gb"):
        house.target(recipe('[target]\npreset = "huge"'))


def test_the_folder_of_the_file_is_where_paths_begin(tmp_path: Path) -> None:
    found = recipe('key = "keys/k"')
    assert found.key == Path("here/keys/k") and found.public_key == Path("here/keys/k.pub")
    assert recipe('key = "/k.pub"').public_key == Path("/k.pub"), "ssh-agent has the other half"
