"""What a page says of an audit that was verified."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from cellar_hub.audit import Report
from cellar_hub.audit.chain import Lost
from cellar_hub.audit.verify import ChainReport, Problem
from cellar_hub.console.page import make_environment
from cellar_hub.console.verifying import Verified
from cellar_hub.console.words import Words

LOSS = Lost(
    chain="gateway-1",
    first_seq=7,
    last_seq=1018,
    previous_mac="",
    last_mac="",
    at=0.0,
    by="kim (command line)",
    backup="2026-11-20T03:00:00",
)


def said(*problems: Problem, language: str = "en") -> str:
    chains = [ChainReport("console", rows=5), ChainReport("gateway-1", rows=9, lost=[LOSS])]
    verified = Verified(by="admin", began=0.0, ended=1.0, report=Report(chains, list(problems)))
    template = make_environment().get_template("verified.html")
    return template.render(t=Words(language, ZoneInfo("UTC")), verified=verified)


@pytest.mark.parametrize(
    ("language", "whole"), [("en", "The audit is whole but for what was lost"), ("ko", "온전합니다")]
)
def test_what_a_restore_has_lost_is_said_with_its_chain_and_its_rows(language: str, whole: str) -> None:
    text = said(language=language)
    assert whole in text and "nothing was changed" not in text
    for part in ("gateway-1", "7", "1,018", "1970-01-01 00:00:00", "kim (command line)", "2026-11-20T03:00:00"):
        assert part in text
    assert text.count("<li>") == 1, "the other chain has lost nothing"


def test_a_loss_excuses_no_problem() -> None:
    text = said(Problem("gateway-1", 3, "changed", "the row was changed"))
    assert "The audit is NOT whole. Problems: 1" in text and "is whole but" not in text
    assert "rows 7 to 1,018 at least" in text
