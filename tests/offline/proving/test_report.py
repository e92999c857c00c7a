"""What a proof came to, from what was counted: when it says sealed, and what it names when it does not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cellar_offline import signature
from cellar_offline.proving import controls, report, words
from cellar_offline.proving.ledger import Ledger
from cellar_offline.proving.packets import Packet
from cellar_offline.proving.report import Counted, Findings, Step
from cellar_offline.proving.seal import KIND, SERVICE, Resident


def resident(leg: int, name: str, **labels: str) -> Resident:
    state = {"Name": f"/{name}", "Config": {"Labels": labels}}
    return Resident(leg, 1000 + leg, f"{leg:064x}", 0, f"198.18.1.{leg}", state if name else {})


HUB, WORKSPACE, PROBE, BROWSER = 301, 302, 303, 304
STACK = (
    resident(HUB, "proof-hub", **{SERVICE: "hub"}),
    resident(WORKSPACE, "proof-ws-ada", **{KIND: "workspace"}),
    resident(PROBE, "proof-ws-_probe", **{KIND: "probe"}),
    resident(BROWSER, "cellar-prove", **{KIND: "browser"}),
)
AT_THE_END = (STACK[0], STACK[1], STACK[3])


def counted(ledger: Ledger, leg: int, which: controls.Round, kinds: tuple[str, ...] = controls.KINDS) -> None:
    """The controls of one container, as sink and resolver tell of them."""
    if "ipv4" in kinds:
        ledger.packet(leg, Packet(4, "tcp", "198.18.1.9", 50000, controls.IPV4, which.port))
    if "ipv6" in kinds:
        ledger.packet(leg, Packet(6, "tcp", "fd5e:a1ed::9", 50000, controls.IPV6, which.port))
    if "lookup" in kinds:
        ledger.lookup(leg, which.name(leg), "A", "127.0.0.11")


def quiet(missing: tuple[int, str] | None = None) -> Findings:
    """A stack that called nobody; one control may be missing."""
    ledger = Ledger(lambda leg, packet: "")
    first, last = ledger.begin(), ledger.begin()
    for which in (first, last):
        for leg in (HUB, WORKSPACE, BROWSER):
            counted(ledger, leg, which, tuple(kind for kind in controls.KINDS if (leg, kind) != missing))
    counted(ledger, PROBE, first, ("ipv4", "ipv6"))
    packets = {4: 5, 6: 5}
    return Findings(
        bundle="cellar 1.0 (0123)",
        bundle_id="01" * 32,
        signed_by="SHA256:abc",
        engine="28.1",
        began=1.0e9,
        ended=1.0e9 + 700,
        idle=600,
        residents=STACK,
        ledger=ledger,
        first=first,
        last=last,
        there_at_the_end=AT_THE_END,
        counted=Counted(packets, packets, 0),
        journey=(Step("log_in", True, 1.5, ""), Step("end", True, 600, "")),
        own_names=frozenset({"hub-control", "gateway"}),
    )


def codes(made: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in made["reasons"]]


def test_a_stack_that_calls_nobody_and_whose_controls_were_counted_is_sealed() -> None:
    made = report.make(quiet())
    assert (made["verdict"], made["reasons"], made["attempts"]) == ("sealed", [], [])
    assert made["containers"][2]["at_its_beginning"] == {"ipv4": True, "ipv6": True, "lookup": False}
    assert made["containers"][2]["at_the_end"] is None
    assert "SEALED" in words.markdown(made)
    assert "봉인됨" in words.markdown(made)


def test_one_call_of_anybody_fails_the_proof_and_is_named() -> None:
    found = quiet()
    found.ledger.packet(WORKSPACE, Packet(4, "tcp", "198.18.1.9", 50001, "151.101.0.223", 443))
    found.ledger.lookup(HUB, "far.example", "A", "127.0.0.11")
    found.ledger.lookup(None, "nobody.example", "A", "198.18.0.1")
    made = report.make(found)
    assert (made["verdict"], codes(made)) == ("failed", ["attempts"])
    told = {(each["container"], each["target"]) for each in made["attempts"]}
    wanted = {
        ("proof-ws-ada", "151.101.0.223 port 443 tcp"),
        ("proof-hub", "far.example A"),
        ("", "nobody.example A"),
    }
    assert told == wanted
    for text in ("far.example A", "151.101.0.223 port 443 tcp", "3 different", "3건"):
        assert text in words.markdown(made)


def test_what_the_probe_tries_and_names_of_the_stack_itself_stand_apart() -> None:
    found = quiet()
    found.ledger.packet(PROBE, Packet(4, "tcp", "198.18.1.9", 50001, "1.1.1.1", 443))
    found.ledger.lookup(HUB, "gateway", "A", "127.0.0.1")
    made = report.make(found)
    assert made["verdict"] == "sealed"
    assert [each["target"] for each in made["probe"] + made["own_names"]] == ["1.1.1.1 port 443 tcp", "gateway A"]
    found.ledger.lookup(HUB, "intranet", "A", "127.0.0.1")  # without a dot, and nobody's of the stack
    assert codes(report.make(found)) == ["attempts"]


@pytest.mark.parametrize("kind", controls.KINDS)
def test_a_control_that_was_not_counted_fails_the_proof(kind: str) -> None:
    made = report.make(quiet(missing=(WORKSPACE, kind)))
    assert made["verdict"] == "failed"
    assert codes(made) == ["control", "control"]  # at its beginning, at the end
    assert all(each["container"] == "proof-ws-ada" and each["kind"] == kind for each in made["reasons"])
    assert len(words.reasons(made, words.KOREAN)) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"counted": Counted({4: 6, 6: 5}, {4: 5, 6: 5}, 0)}, "counted"),
        ({"counted": Counted({4: 5, 6: 5}, {4: 5, 6: 5}, 2)}, "counted"),
        ({"journey": (Step("log_in", True, 1.5, ""),)}, "unfinished"),
        ({"journey": ()}, "unfinished"),
        ({"journey": (Step("log_in", False, 1.5, "no such page"), Step("end", True, 1, ""))}, "journey"),
    ],
)
def test_a_proof_that_may_have_missed_something_is_none(change: dict[str, Any], code: str) -> None:
    made = report.make(replace(quiet(), **change))
    assert (made["verdict"], codes(made)) == ("failed", [code])
    assert words.reasons(made)[0] in words.markdown(made)


@pytest.mark.parametrize(("leg", "code"), [(WORKSPACE, "no_workspace"), (BROWSER, "no_browser")])
def test_a_proof_that_its_workspace_or_its_browser_left_early_is_none(leg: int, code: str) -> None:
    made = report.make(replace(quiet(), there_at_the_end=tuple(each for each in AT_THE_END if each.leg != leg)))
    assert codes(made) == [code]
    assert all(words.reasons(made, language)[0] for language in words.LANGUAGES)


def test_a_name_without_a_dot_that_docker_alone_was_asked_for_is_told_and_is_no_way_out() -> None:
    found = quiet()
    for name in ("gateway", "wpad"):
        found.ledger.lookup(WORKSPACE, name, "A", "127.0.0.11")
    made = report.make(found)
    assert (made["verdict"], [each["target"] for each in made["own_names"]]) == ("sealed", ["wpad A"])


def test_who_was_gone_before_anybody_knew_it_counts_as_ours() -> None:
    found = quiet()
    found.ledger.packet(399, Packet(4, "tcp", "198.18.1.9", 50001, "1.1.1.1", 443))
    made = report.make(replace(found, residents=(*STACK, resident(399, ""))))
    assert "attempts" in codes(made)
    assert "control" in codes(made)


def test_both_languages_have_words_for_the_same() -> None:
    def keys(table: dict[str, Any]) -> set[str]:
        return {
            f"{name}.{key}" for name, value in table.items() for key in (value if isinstance(value, dict) else [""])
        }

    assert keys(words.ENGLISH) == keys(words.KOREAN)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="missing: ssh-keygen")
def test_the_report_is_signed_and_no_table_of_it_can_be_broken(tmp_path: Path) -> None:
    found = quiet()
    found.ledger.lookup(HUB, "a|b<c\n.example", "A", "127.0.0.11")
    key = tmp_path / "key"
    signature.make_key(key)
    made = report.save(report.make(found), tmp_path / "proof", key)
    assert [each.name for each in made] == ["proof.json", "PROOF.md", "proof.json.sig", "PROOF.md.sig"]
    public = signature.read_key(tmp_path / "key.pub")
    signature.check(made[0].read_bytes(), made[2].read_bytes(), public, report.NAMESPACE)
    with pytest.raises(signature.BadSignature):
        signature.check(made[0].read_bytes() + b" ", made[2].read_bytes(), public, report.NAMESPACE)
    signature.check(made[1].read_bytes(), made[3].read_bytes(), public, report.NAMESPACE)
    assert json.loads(made[0].read_text())["format"] == report.FORMAT
    assert "a\\|b&lt;c .example" in made[1].read_text()
    assert report.save(report.make(found), tmp_path / "proof", None) == made[:2]
    assert not made[2].exists() and not made[3].exists()
