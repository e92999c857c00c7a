"""The lab extension's sentences and their Korean."""

from __future__ import annotations

import json

import pytest

from tools import messages


def test_every_sentence_has_a_translation_and_no_other_has_one() -> None:
    missing, obsolete = messages.compare(messages.extract(), messages.read_catalogue())
    assert not missing, "translate them: python -m tools.messages --missing"
    assert not obsolete, "remove them: python -m tools.messages"


def test_a_translation_has_the_same_values_in_it() -> None:
    for key, (korean, *_) in messages.read_catalogue().items():
        assert messages.placeholders(key) == messages.placeholders(korean), key


def test_the_catalogue_is_written_as_the_tool_writes_it() -> None:
    before = messages.CATALOGUE.read_text("utf-8")
    assert list(json.loads(before)) == ["", *sorted(messages.read_catalogue())]
    assert json.loads(before)[""] == messages.HEADER


def test_messages_are_found_however_they_are_written() -> None:
    source = """
      trans.__('a'); this.trans.__("b\\u2026"); trans.__(
        'c ' +
          'd',
        1
      ); trans._n('%1 e', '%1 es', n); trans._p('menu', `f`); label: trans?.__('it\\'s')
    """
    assert list(messages.messages_of(source)) == ["a", "b…", "c d", "%1 e", "menu\u0004f", "it's"]


def test_a_message_that_is_not_written_out_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(messages.messages_of("trans.__(name)"))


def test_jupyterlab_finds_the_catalogue() -> None:
    from jupyterlab_server.translation_utils import get_language_pack

    pack, message = get_language_pack("ko_KR")
    assert not message
    assert pack["cellar"]["Stop"] == ["중지"]


def test_a_plural_has_two_forms_because_jupyterlab_ignores_it_otherwise() -> None:
    catalogue = messages.read_catalogue()
    for key in messages.plurals() & set(catalogue):
        assert len(catalogue[key]) == 2, key
