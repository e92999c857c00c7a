"""What the proof came to, as a table that JSON can hold. Pure, but for the signature at the end.

Reasons are codes with their words' details; `words.py` has them in both languages. The report says "sealed" only where
there is no reason against it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cellar_offline import signature
from cellar_offline.proving import controls, words
from cellar_offline.proving.controls import Round
from cellar_offline.proving.ledger import Attempt, Ledger
from cellar_offline.proving.seal import Resident

FORMAT = "cellar-proof-1"
NAMESPACE = "cellar-proof"
PROBE = "probe"
"""The kind of containers in which the hub's start-up probe tries on purpose what must not work."""
WORKSPACE, BROWSER = "workspace", "browser"
"""Kinds of containers of which one must be there until the end."""
SEALED, FAILED = "sealed", "failed"


@dataclass(frozen=True)
class Step:
    """Of the journey."""

    step: str
    ok: bool
    seconds: float
    problem: str


@dataclass(frozen=True)
class Counted:
    """What the rule dropped and what was read of it, by IP version; and packets lost between the two."""

    rule: Mapping[int, int]
    read: Mapping[int, int]
    lost: int


@dataclass(frozen=True)
class Findings:
    """Everything that a report is made of."""

    bundle: str
    bundle_id: str
    signed_by: str
    engine: str
    began: float
    ended: float
    idle: int
    residents: Sequence[Resident]
    ledger: Ledger
    first: Round
    last: Round
    there_at_the_end: Sequence[Resident]
    counted: Counted
    journey: Sequence[Step]
    own_names: frozenset[str]


def make(found: Findings) -> dict[str, Any]:
    """The report."""
    who = {each.leg: each for each in found.residents}
    groups: dict[str, list[Attempt]] = {"attempts": [], "probe": [], "own_names": []}
    for attempt in found.ledger.attempts():
        if attempt.kind != "name" or attempt.name not in found.own_names:  # else the stack talks with itself
            groups[_group(attempt, who, found.own_names)].append(attempt)
    at_the_end = {each.leg for each in found.there_at_the_end}
    missing_first = set(found.ledger.missing(found.first, who))
    missing_last = set(found.ledger.missing(found.last, at_the_end))
    containers = [
        {
            "name": each.name,
            "kind": each.kind,
            "addresses": each.address,
            "at_its_beginning": {kind: (each.leg, kind) not in missing_first for kind in controls.KINDS},
            "at_the_end": (
                {kind: (each.leg, kind) not in missing_last for kind in controls.KINDS}
                if each.leg in at_the_end
                else None
            ),
        }
        for each in found.residents
    ]
    reasons = _reasons(found, who, groups["attempts"], missing_first, missing_last)
    return {
        "format": FORMAT,
        "verdict": FAILED if reasons else SEALED,
        "reasons": reasons,
        "bundle": {"title": found.bundle, "id": found.bundle_id, "signed_by": found.signed_by},
        "engine": found.engine,
        "began": _utc(found.began),
        "ended": _utc(found.ended),
        "idle_seconds": found.idle,
        "counted": {
            "rule": {f"ipv{version}": count for version, count in found.counted.rule.items()},
            "read": {f"ipv{version}": count for version, count in found.counted.read.items()},
            "lost": found.counted.lost,
        },
        "containers": containers,
        "journey": [asdict(step) for step in found.journey],
        **{name: [_told(each, who) for each in group] for name, group in groups.items()},
    }


def _group(attempt: Attempt, who: Mapping[int, Resident], own_names: frozenset[str]) -> str:
    resident = who.get(attempt.leg) if attempt.leg is not None else None
    if resident is not None and resident.kind == PROBE:
        return "probe"
    if attempt.kind == "name" or (attempt.kind == "lookup" and "." not in attempt.name and attempt.name in own_names):
        return "own_names"
    return "attempts"


def _reasons(
    found: Findings,
    who: Mapping[int, Resident],
    attempts: Sequence[Attempt],
    missing_first: Iterable[tuple[int, str]],
    missing_last: Iterable[tuple[int, str]],
) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = []
    if attempts:
        reasons.append({"code": "attempts", "count": len(attempts)})
    for when, missing in (("beginning", missing_first), ("end", missing_last)):
        for leg, kind in sorted(missing):
            if who[leg].kind == PROBE and kind == "lookup":
                continue  # it may end before it could be asked for one
            reasons.append({"code": "control", "container": who[leg].name, "kind": kind, "when": when})
    if dict(found.counted.rule) != dict(found.counted.read) or found.counted.lost:
        reasons.append({"code": "counted", "rule": sum(found.counted.rule.values()), "lost": found.counted.lost})
    there = {each.kind for each in found.there_at_the_end}
    reasons += [{"code": f"no_{kind}"} for kind in (WORKSPACE, BROWSER) if kind not in there]
    reasons += [
        {"code": "journey", "step": step.step, "problem": step.problem} for step in found.journey if not step.ok
    ]
    if not found.journey or found.journey[-1].step != "end":
        reasons.append({"code": "unfinished"})
    return reasons


def _told(attempt: Attempt, who: Mapping[int, Resident]) -> dict[str, Any]:
    resident = who.get(attempt.leg) if attempt.leg is not None else None
    return {
        "container": resident.name if resident else "",
        "kind": attempt.kind,
        "target": attempt.target,
        "name": attempt.name,
        "from": resident.address if resident else "",
        "first": _utc(attempt.first),
        "last": _utc(attempt.last),
        "count": attempt.count,
        "process": attempt.process,
    }


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def save(report: Mapping[str, Any], folder: Path, key: Path | None) -> list[Path]:
    """proof.json and PROOF.md, each with its signature beside it where there is a key. BadSignature, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / "proof.json", folder / "PROOF.md"]
    for each in made:
        each.with_name(f"{each.name}.sig").unlink(missing_ok=True)  # an older one would be another's
    made[0].write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    made[1].write_text(words.markdown(report), encoding="utf-8")
    return made if key is None else [*made, *(signature.sign(each, key, NAMESPACE) for each in made)]
