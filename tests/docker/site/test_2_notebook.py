"""The model without any set-up: in a workspace's notebook, and with the openai package at each of its addresses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.docker.site.installation import Installation
from tests.docker.site.person import Person

pytestmark = pytest.mark.usefixtures("short_answers")
OPENAI = """
import json, os, openai
client = openai.OpenAI(base_url=os.environ["VLLM_BASE_URL"], api_key=os.environ["VLLM_API_KEY"])
model = client.models.list().data[0].id
asked = {"model": model, "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 6}
whole = client.chat.completions.create(**asked)
stream = client.chat.completions.create(**asked, stream=True)
told = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
print(json.dumps([str(client.base_url), whole.choices[0].message.content, whole.usage.completion_tokens, told]))
"""
INSTALL = """
import subprocess, sys
done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "openai"], capture_output=True, text=True)
print(done.stdout, done.stderr)
sys.exit(done.returncode)
"""


def assert_answered(said: list[Any], address: str) -> None:
    base, whole, tokens, streamed = said
    assert base.rstrip("/") == address
    assert whole
    assert streamed
    assert 0 < tokens <= 6


def test_the_openai_package_works_in_a_workspace_where_its_user_installed_it(site: Installation, ada: Person) -> None:
    site.run_inside(site.workspace("ada"), INSTALL)
    assert_answered(site.inside(site.workspace("ada"), OPENAI), "http://gateway:8080/v1")


def test_the_magics_and_the_openai_package_answer_in_a_notebook(ada: Person) -> None:
    ada.open_notebook("magics.ipynb", "%%ai\nSay hello.", OPENAI.strip())
    card = ada.run_cell(0).locator(".jp-Cellar-card")
    expect(card).to_have_attribute("data-state", re.compile("complete|length"), timeout=180_000)
    expect(card).not_to_be_empty()
    printed = ada.run_cell(1).locator(".jp-OutputArea-output").first
    expect(printed).to_contain_text("http://gateway:8080/v1", timeout=120_000)
    ada.shot("5-magics")
    assert_answered(json.loads(printed.inner_text()), "http://gateway:8080/v1")


def test_the_openai_package_works_from_outside_through_the_hub(site: Installation, ada: Person) -> None:
    address = f"{site.url}/services/cellar/v1"
    env = os.environ | {"VLLM_BASE_URL": address, "VLLM_API_KEY": ada.new_token()}
    done = subprocess.run([sys.executable, "-c", OPENAI], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_answered(json.loads(done.stdout), address)
