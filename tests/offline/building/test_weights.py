"""Models: what may run code stays behind, the licence comes along, a hub is asked for one commit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.progress import Steps
from cellar_offline.building.recipe import EMBEDDED, FOLDER, HUB, Weights
from cellar_offline.building.store import Journal, Store
from cellar_offline.building.weights import Model, gather

from tests.offline.building.engine import safetensors

REVISION = "0123456789" * 4
LIBRARY = """\
import pathlib, shutil, fnmatch
REPOSITORY = pathlib.Path({folder!r})
class HfApi:
    def list_repo_files(self, repo, revision):
        if (repo, revision) != ("x/y", {revision!r}):
            raise RuntimeError("404 Client Error: Repository Not Found")
        return [path.name for path in REPOSITORY.iterdir()]
def snapshot_download(repo, revision, local_dir, allow_patterns, ignore_patterns):
    for path in REPOSITORY.iterdir():
        if any(fnmatch.fnmatch(path.name, each) for each in allow_patterns):
            pathlib.Path(local_dir).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, local_dir)
"""


class Shelf:
    """A folder with a model, and what is gathered from it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "model"
        self.folder.mkdir()
        safetensors(self.folder / "model.safetensors")
        (self.folder / "tokenizer.json").write_text("{}")
        (self.folder / "LICENSE").write_text("Do what is right.\n")
        (self.folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
        self.journal = Journal(home / "journal")
        self.store = Store(home / "out", self.journal, 1 << 20, None)

    def gather(self, origin: str = FOLDER, **more: object) -> Model:
        asked = Weights("tiny", origin, **({"folder": self.folder} if origin == FOLDER else {}) | more)  # type: ignore[arg-type]
        with ThreadPoolExecutor(2) as pool:
            return gather(asked, self.store, self.home / "work", pool, Steps())


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.journal.close()


@pytest.fixture
def hub(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A stand-in for the hub's own library, on whose repository lies this model."""
    library = shelf.home / "library"
    library.mkdir()
    (library / "huggingface_hub.py").write_text(LIBRARY.format(folder=str(shelf.folder), revision=REVISION))
    monkeypatch.syspath_prepend(str(library))
    monkeypatch.delitem(sys.modules, "huggingface_hub", raising=False)
    yield shelf
    sys.modules.pop("huggingface_hub", None)


def test_a_folder_of_safetensors_comes_with_its_licence(shelf: Shelf) -> None:
    (shelf.folder / ".cache").mkdir()
    (shelf.folder / ".cache" / "record").write_text("of whoever downloaded it")
    model = shelf.gather()
    names = ["LICENSE", "README.md", "model.safetensors", "tokenizer.json"]
    assert [path for path, _ in model.files] == [f"weights/tiny/{name}" for name in names]
    assert (model.licence, model.licence_text) == ("apache-2.0", b"Do what is right.\n")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "modeling.py", "run.sh", "a.gguf"])
def test_a_file_that_may_run_code_is_refused_by_name_or_left_where_it_is(shelf: Shelf, name: str) -> None:
    (shelf.folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(CannotBuild, match=name):
        shelf.gather()
    assert name not in str(shelf.gather(exclude=(name,)).files)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04.", (1 << 40).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"[]"]
)
def test_a_file_that_is_only_called_safetensors_is_refused(shelf: Shelf, content: bytes) -> None:
    (shelf.folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CannotBuild, match=r"model\.safetensors"):
        shelf.gather()


def test_a_link_that_leads_out_is_refused_and_one_of_a_hubs_cache_is_not(shelf: Shelf) -> None:
    secret = shelf.home / "secret.json"
    secret.write_text("{}")
    (shelf.folder / "link.json").symlink_to(secret)
    with pytest.raises(CannotBuild, match=r"link\.json .* leads out"):
        shelf.gather()
    cache = shelf.home / "cache"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots").mkdir()
    (shelf.folder / "link.json").unlink()
    shelf.folder.rename(cache / "snapshots" / REVISION)
    shelf.folder = cache / "snapshots" / REVISION
    (cache / "blobs" / "abc").write_text("{}")
    (shelf.folder / "config.json").symlink_to("../../blobs/abc")
    assert "config.json" in str(shelf.gather().files)


def test_weights_without_the_text_of_their_licence_are_refused(shelf: Shelf) -> None:
    (shelf.folder / "LICENSE").unlink()
    with pytest.raises(CannotBuild, match="licence_file"):
        shelf.gather()
    text = shelf.home / "text"
    text.write_text("As agreed.\n")
    assert shelf.gather(licence_file=text, licence="Agreement 7").licence == "Agreement 7"


def test_a_folder_without_weights_is_refused(shelf: Shelf) -> None:
    (shelf.folder / "model.safetensors").unlink()
    with pytest.raises(CannotBuild, match="no \\*\\.safetensors"):
        shelf.gather()
    with pytest.raises(CannotBuild, match="no folder"):
        shelf.gather(folder=shelf.home / "nowhere")


def test_a_hub_is_asked_for_one_commit_and_what_may_run_code_is_not_even_fetched(hub: Shelf) -> None:
    (hub.folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    model = hub.gather(HUB, repo="x/y", revision=REVISION)
    assert model.source == f"x/y@{REVISION}" and "model.safetensors" in str(model.files)
    assert model.left_out == ("pytorch_model.bin",)
    assert not list((hub.home / "work").rglob("*.bin"))
    with pytest.raises(CannotBuild, match=r"x/z at .*Not Found"):
        hub.gather(HUB, repo="x/z", revision=REVISION)


def test_without_the_hubs_library_its_name_is_told(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "huggingface_hub", raising=False)
    with pytest.raises(CannotBuild, match="pip install huggingface_hub"):
        shelf.gather(HUB, repo="x/y", revision=REVISION)


@pytest.mark.real_model
def test_the_embedded_model_is_a_source_too(shelf: Shelf) -> None:
    pytest.importorskip("xllamacpp", reason="the embedded model is not installed")
    model = shelf.gather(EMBEDDED)
    assert [path.rpartition(".")[2] for path, _ in model.files] == ["gguf"] and model.size > 50_000_000
    assert model.licence == "Apache-2.0" and b"Apache License" in model.licence_text
