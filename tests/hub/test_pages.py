"""The catalogue of the hub's pages: whole, and with everything in it that a start says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jinja2
import pytest
from cellar_hub.pages import LANGUAGES, TEMPLATES, in_language, template_vars, texts
from cellar_hub.spawner import profiles, workspace
from cellar_hub.spawner.refusals import StartRefused
from jupyterhub._data import DATA_FILES_PATH

SAID_BY = {"_step": 1, "StartRefused": 0, "NotOffered": 0}
"""Functions that say something to the user, and which of their arguments it is."""


def sayings() -> list[str]:
    """Every text that the spawner shows, with X where something is filled in."""
    found = []
    for module in (workspace, profiles):
        for call in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            name = getattr(call.func, "attr", getattr(call.func, "id", "")) if isinstance(call, ast.Call) else ""
            if name in SAID_BY:
                assert isinstance(call, ast.Call)
                said = call.args[SAID_BY[name]]
                if isinstance(said, ast.Constant):
                    found.append(str(said.value))
                elif isinstance(said, ast.JoinedStr):
                    found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in said.values))
    return found


@pytest.mark.parametrize("said", sayings())
def test_what_a_start_says_is_there_in_korean(said: str) -> None:
    korean = in_language(said, "ko")
    assert korean is not None and re.search("[가-힣]", korean)
    assert korean.count("X") == said.count("X")
    assert in_language(said, "en") == said  # ours is said as we want it


def test_a_text_with_something_filled_in_keeps_it() -> None:
    said = "Your workspace ended while it started (exit code 137). It needed more memory than it may have."
    assert in_language(said, "ko") == (
        "작업 공간이 시작하는 중에 종료되었습니다(종료 코드 137). 허용된 것보다 많은 메모리가 필요했습니다."
    )
    assert in_language("The workspace profile '$& {size}' is not offered to you.", "en") is not None
    assert in_language("Something nobody says", "ko") is None


def test_every_text_is_there_in_every_language_with_the_same_names() -> None:
    for key, values in texts().items():
        assert len(values) == len(LANGUAGES) and all(values), key
        assert all(set(re.findall(r"\{\w+\}", value)) == set(re.findall(r"\{\w+\}", key)) for value in values), key
        assert " ".join(key.split()) == key, "compared with texts whose spaces were made one"


def test_a_catalogue_in_a_script_ends_no_script() -> None:
    assert "<" not in template_vars()["cellar_texts"]
    assert (TEMPLATES / "page.html").is_file()


def test_a_start_that_fails_at_once_shows_the_containers_last_words_too() -> None:
    """By JupyterHub's own loaders; what a page needs besides is not looked at."""
    stock = jinja2.FileSystemLoader(str(Path(DATA_FILES_PATH) / "templates"))
    ours = jinja2.FileSystemLoader([str(TEMPLATES), str(Path(DATA_FILES_PATH) / "templates")])
    loader = jinja2.ChoiceLoader([jinja2.PrefixLoader({"templates": stock}), ours])
    pages = jinja2.Environment(loader=loader, undefined=jinja2.ChainableUndefined, autoescape=True)
    pages.globals["static_url"] = lambda path, **_: path
    refused = StartRefused("It needed more memory.", b"These are <its> last words.\n")
    text, html = refused.jupyterhub_message, refused.jupyterhub_html_message
    page = pages.get_template("spawn.html").render(error_message=text, html_error_message=html, **template_vars())
    assert "These are &lt;its&gt; last words." in page and page.count("It needed more memory.") == 1
    plain = pages.get_template("spawn.html").render(error_message="No such option", html_error_message="")
    assert "Error: No such option" in plain
