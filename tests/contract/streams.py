"""The event streams of the contract: what the workspace server writes, and what a reader must make of it.

Each case is bytes on one side and hand-written expectations on the other. `python -m tests.contract.write` puts both
into golden files; pytest and jest read those, whole and in pieces of five bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cellar import wire
from cellar.sse import encode_comment, encode_event


class Case(msgspec.Struct, kw_only=True):
    """`events`: what comes out of the decoder, as [id, JSON of the event], unknown types included.

    `folds`: for each turn of the request, fields of the turn after all its events; what is absent must be absent or
    empty. A turn begins as `{"state": "pending"}`.
    """

    name: str
    why: str
    data: bytes
    events: list[tuple[str, Any]]
    folds: list[dict[str, Any]]


def written(name: str, why: str, events: list[tuple[str, wire.Event]], folds: list[dict[str, Any]]) -> Case:
    """A case whose bytes are what Python writes for `events`."""
    data = b"".join(encode_event(msgspec.json.encode(event), id) for id, event in events)
    seen = [(id, plain(event)) for id, event in events]
    return Case(name=name, why=why, data=data, events=seen, folds=folds)


def plain(struct: msgspec.Struct) -> Any:
    """As JSON has it: no tuples."""
    return msgspec.json.decode(msgspec.json.encode(struct))


def text(*deltas: str, start: int = 1, index: int | None = None) -> list[tuple[str, wire.Event]]:
    """One text event per delta, its id a running number."""
    head = "" if index is None else f"{index}."
    return [(f"{head}{start + i}", wire.TextEvent(delta=delta)) for i, delta in enumerate(deltas)]


STARTED = wire.StartedEvent(model="coder")
COMPLETE = wire.FinishedEvent(reason="complete")

RECEIPT = wire.Receipt(
    model="coder",
    prompt_tokens=5120,
    budget=24576,
    context_length=32768,
    max_tokens=8192,
    exact=True,
    left_out_turns=3,
    masked=(wire.Masked(placeholder="«secret:1»", kind="aws-key", count=2),),
    parts=(
        wire.ReceiptPart(kind="system", label="System prompt", state="sent", tokens=120),
        wire.ReceiptPart(kind="rules", label="AGENTS.md", state="sent", tokens=88, path="AGENTS.md"),
        wire.ReceiptPart(kind="summary", label="Summary", state="sent", tokens=300),
        wire.ReceiptPart(kind="history", label="12 earlier turns", state="sent", tokens=2100),
        wire.ReceiptPart(
            kind="notebook",
            label="a.ipynb",
            state="changes",
            tokens=240,
            path="work/a.ipynb",
            reasons=(wire.Reason(code="cells_changed", values=(2, 40)),),
            detail="2 of 40 cells changed",
            masked=2,
        ),
        wire.ReceiptPart(kind="cells", label="Cell 3", state="unchanged", path="work/a.ipynb"),
        wire.ReceiptPart(
            kind="cells",
            label="Cell 4",
            state="unreadable",
            path="work/a.ipynb",
            reasons=(wire.Reason(code="gone"),),
            detail="no longer there",
        ),
        wire.ReceiptPart(kind="selection", label="a.py 3-9", state="sent", tokens=61, path="a.py"),
        wire.ReceiptPart(kind="file", label="big.csv", state="cut", tokens=2000, left_out_tokens=90000, path="big.csv"),
        wire.ReceiptPart(
            kind="file",
            label="model.bin",
            state="unreadable",
            path="model.bin",
            reasons=(wire.Reason(code="binary"),),
            detail="binary file",
        ),
        wire.ReceiptPart(kind="folder", label="src", state="left_out", left_out_tokens=4000, path="src"),
        wire.ReceiptPart(kind="error", label="NameError", state="sent", tokens=90, path="work/a.ipynb"),
        wire.ReceiptPart(kind="image", label="plot.png", state="sent", tokens=85),
        wire.ReceiptPart(kind="question", label="Question", state="sent", tokens=36),
    ),
)
ERROR = wire.ErrorInfo(
    code="quota_exceeded",
    message="The token quota is used up",
    hint="It starts anew tomorrow",
    retry_after=3600.5,
    request_id="req-1",
    detail={"used": 1000, "limit": 1000, "resets_at": "2026-12-01T00:00:00+09:00", "share": 1.0},
)
UNICODE = (
    "줄 바꿈 없이 ",
    "\u2028\u2029\u0085",
    "👩‍🔬🎉",
    "data: not a field\n\n: nor a comment\r\nid: 7\r",
    "\ufeff\u202e\u0000\u001b[31m",
    "e\u0301",
)


def cases() -> list[Case]:
    return [*answers(), *waits(), *ends(), *framing()]


def answers() -> list[Case]:
    usage = wire.Usage(prompt=5120, completion=3, cached=4096, ttft_ms=81.5, total_ms=140.0)
    receipt = wire.Receipt(model="coder", parts=(), prompt_tokens=1, budget=2, context_length=4, max_tokens=2)
    return [
        written(
            "plain",
            "An answer from beginning to end; defaults are left out of the JSON.",
            [
                ("1", wire.ReceiptEvent(receipt=receipt)),
                ("2", STARTED),
                *text("The ", "answer ", "is 42.", start=3),
                ("6", wire.UsageEvent(usage=usage)),
                ("7", COMPLETE),
            ],
            [
                {
                    "state": "complete",
                    "model": "coder",
                    "parts": [{"type": "text", "text": "The answer is 42."}],
                    "receipt": plain(receipt),
                    "usage": {"prompt": 5120, "completion": 3, "cached": 4096, "ttft_ms": 81.5, "total_ms": 140.0},
                }
            ],
        ),
        written(
            "receipt",
            "Every kind and state of a receipt's rows.",
            [("1", wire.ReceiptEvent(receipt=RECEIPT)), ("2", STARTED), ("3", wire.FinishedEvent(reason="length"))],
            [{"state": "length", "model": "coder", "receipt": plain(RECEIPT)}],
        ),
        written(
            "reasoning",
            "Thoughts and text alternate: each change begins a new part.",
            [
                ("1", STARTED),
                ("2", wire.ReasoningEvent(delta="Six times ")),
                ("3", wire.ReasoningEvent(delta="seven")),
                *text("It is ", "42.", start=4),
                ("6", wire.ReasoningEvent(delta="Sure?")),
                *text(" Yes.", start=7),
                ("8", COMPLETE),
            ],
            [
                {
                    "state": "complete",
                    "model": "coder",
                    "parts": [
                        {"type": "reasoning", "text": "Six times seven"},
                        {"type": "text", "text": "It is 42."},
                        {"type": "reasoning", "text": "Sure?"},
                        {"type": "text", "text": " Yes."},
                    ],
                }
            ],
        ),
        written(
            "unicode",
            "Separators, composed emoji, Korean, a BOM inside, controls, and text that looks like SSE.",
            [("1", STARTED), *text(*UNICODE, start=2), ("8", COMPLETE)],
            [{"state": "complete", "model": "coder", "parts": [{"type": "text", "text": "".join(UNICODE)}]}],
        ),
        written(
            "long",
            "Two hundred deltas fold to their sum.",
            [("1", STARTED), *text(*(f"w{i} " for i in range(200)), start=2), ("202", COMPLETE)],
            [
                {
                    "state": "complete",
                    "model": "coder",
                    "parts": [{"type": "text", "text": "".join(f"w{i} " for i in range(200))}],
                }
            ],
        ),
    ]


def waits() -> list[Case]:
    return [
        written(
            "queued",
            "The gateway's queue, then the answer: the place in the queue is gone.",
            [
                ("1", wire.QueuedEvent(position=3, ahead=5)),
                ("2", wire.QueuedEvent(position=1, ahead=0)),
                ("3", STARTED),
                *text("Your turn.", start=4),
                ("5", COMPLETE),
            ],
            [{"state": "complete", "model": "coder", "parts": [{"type": "text", "text": "Your turn."}]}],
        ),
        written(
            "still_queued",
            "The stream broke off while the turn was queued.",
            [("1", wire.QueuedEvent(position=3, ahead=5))],
            [{"state": "queued", "queue": {"type": "queued", "position": 3, "ahead": 5}}],
        ),
        written(
            "held",
            "A pending turn is held after an error of the one before it, let go, and answered.",
            [
                ("1", wire.PendingEvent()),
                ("2", wire.PendingEvent(held=True)),
                ("3", wire.PendingEvent()),
                ("4", STARTED),
                *text("Hello.", start=5),
                ("6", COMPLETE),
            ],
            [{"state": "complete", "model": "coder", "parts": [{"type": "text", "text": "Hello."}]}],
        ),
        written(
            "still_held",
            "A held turn waits for a click.",
            [("1", wire.PendingEvent(held=True))],
            [{"state": "held"}],
        ),
        written(
            "late_reader",
            "A reader that is late gets one snapshot in place of all text before it, then live events.",
            [
                ("40", STARTED),
                *text("this is replaced", start=41),
                (
                    "97",
                    wire.SnapshotEvent(parts=(wire.ReasoningPart(text="Hm."), wire.TextPart(text="So far "))),
                ),
                *text("and ", "on.", start=98),
                ("100", COMPLETE),
            ],
            [
                {
                    "state": "complete",
                    "model": "coder",
                    "parts": [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "So far and on."}],
                }
            ],
        ),
        written(
            "empty_snapshot",
            "A snapshot of nothing empties the answer; its `parts` are left out.",
            [("1", STARTED), *text("gone", start=2), ("3", wire.SnapshotEvent()), ("4", COMPLETE)],
            [{"state": "complete", "model": "coder"}],
        ),
        written(
            "two_turns",
            "GET events?turn=a:16&turn=b:1: ids are k.cursor, k the place of the turn in the request.",
            [
                ("0.17", STARTED),
                ("1.2", wire.QueuedEvent(position=2, ahead=1)),
                *text("first ", start=18, index=0),
                ("1.3", wire.StartedEvent(model="other")),
                *text("second", start=4, index=1),
                *text("turn", start=19, index=0),
                ("0.20", COMPLETE),
                ("1.5.x", wire.FinishedEvent(reason="stopped", stopped_by="user")),
            ],
            [
                {"state": "complete", "model": "coder", "parts": [{"type": "text", "text": "first turn"}]},
                {
                    "state": "stopped",
                    "stopped_by": "user",
                    "model": "other",
                    "parts": [{"type": "text", "text": "second"}],
                },
            ],
        ),
    ]


def ends() -> list[Case]:
    finishes: list[tuple[str, str, wire.FinishedEvent, dict[str, Any]]] = [
        ("interrupted", "The model server's stream was cut.", wire.FinishedEvent(reason="interrupted"), {}),
        ("tool_limit", "An agent used up its calls.", wire.FinishedEvent(reason="tool_limit"), {}),
        (
            "orphan",
            "Nobody was reading.",
            wire.FinishedEvent(reason="stopped", stopped_by="orphan"),
            {"stopped_by": "orphan"},
        ),
    ]
    part = [{"type": "text", "text": "half an"}]
    return [
        *(
            written(
                name,
                why,
                [("1", STARTED), *text("half ", "an", start=2), ("4", event)],
                [{"state": event.reason, "model": "coder", "parts": part, **more}],
            )
            for name, why, event, more in finishes
        ),
        written(
            "error",
            "An error with all its fields keeps the text before it.",
            [("1", STARTED), *text("half ", "an", start=2), ("4", wire.ErrorEvent(error=ERROR))],
            [{"state": "error", "model": "coder", "parts": part, "error": plain(ERROR)}],
        ),
        written(
            "error_at_once",
            "Refused before anything was said; only code and message.",
            [("1", wire.ErrorEvent(error=wire.ErrorInfo(code="model_down", message="not reachable")))],
            [{"state": "error", "error": {"code": "model_down", "message": "not reachable"}}],
        ),
    ]


def framing() -> list[Case]:
    started, done = b'{"type":"started","model":"coder"}', b'{"type":"finished","reason":"complete"}'
    events: list[tuple[str, Any]] = [
        ("1", {"type": "started", "model": "coder"}),
        ("2", {"type": "text", "delta": "one"}),
        ("3", {"type": "finished", "reason": "complete"}),
    ]
    fold = {"state": "complete", "model": "coder", "parts": [{"type": "text", "text": "one"}]}
    return [
        Case(
            name="pings",
            why="Comments between events, as the server writes them to keep proxies awake.",
            data=encode_comment("connected")
            + encode_event(started, "1")
            + encode_comment("ping")
            + encode_event(b'{"type":"text","delta":"one"}', "2")
            + encode_comment("ping")
            + encode_event(done, "3"),
            events=events,
            folds=[fold],
        ),
        Case(
            name="line_ends",
            why="A BOM, CRLF and CR from a proxy that rewrites, no blank after the colon, several data lines.",
            data=b"\xef\xbb\xbfid: 1\r\ndata:" + started + b"\r\n\r\n"
            b'id:2\rdata: {"type":"text",\rdata:  "delta":"one"}\r\r'
            b"retry: 10\nevent: message\nid: 3\ndata: " + done + b"\n\n",
            events=events,
            folds=[fold],
        ),
        Case(
            name="newer_server",
            why="Types and fields that this reader does not know are skipped.",
            data=encode_event(b'{"type":"started","model":"coder","node":7}', "1")
            + encode_event(b'{"type":"hologram","delta":"?"}', "1b")
            + encode_event(b'{"type":"text","delta":"one","voice":"soft"}', "2")
            + encode_event(done, "3"),
            events=[
                ("1", {"type": "started", "model": "coder", "node": 7}),
                ("1b", {"type": "hologram", "delta": "?"}),
                ("2", {"type": "text", "delta": "one", "voice": "soft"}),
                ("3", {"type": "finished", "reason": "complete"}),
            ],
            folds=[fold],
        ),
        Case(
            name="cut_event",
            why="The connection broke inside an event: it never happened.",
            data=encode_event(started, "1")
            + encode_event(b'{"type":"text","delta":"one"}', "2")
            + b'id: 3\ndata: {"type":"text","delta":"tw',
            events=events[:2],
            folds=[{"state": "running", "model": "coder", "parts": [{"type": "text", "text": "one"}]}],
        ),
    ]
