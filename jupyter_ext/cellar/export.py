"""A conversation as a file: the branch that is shown as Markdown or as a notebook, all of it as JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from cellar.conversation import ConversationRecord, TurnRecord, answer_text, branch, conversation_to_wire


def export_markdown(conversation: ConversationRecord) -> str:
    """Questions as quotes, answers as they are."""
    lines = [f"# {conversation.title}", ""]
    for turn in branch(conversation, conversation.head_id):
        lines += [*_quoted(turn), "", answer_text(turn.parts).strip() or f"*({turn.state})*", ""]
    return "\n".join(lines)


def _quoted(turn: TurnRecord) -> list[str]:
    asked = [f"> {line}".rstrip() for line in turn.text.splitlines()]
    if turn.pills:
        asked += [">", "> " + ", ".join(f"`{pill.label}`" for pill in turn.pills)]
    return asked or [f"> *({turn.mode})*"]


_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*$")
_CODE = frozenset({"python", "py", "python3", "ipython", "ipython3"})


def export_notebook(conversation: ConversationRecord) -> bytes:
    """A notebook: questions and prose as Markdown cells, Python blocks as code cells (not run)."""
    cells: list[dict[str, object]] = []

    def add(kind: str, source: str) -> None:
        if source.strip():
            cell: dict[str, object] = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": source}
            if kind == "code":
                cell |= {"execution_count": None, "outputs": []}
            cells.append(cell)

    add("markdown", f"# {conversation.title}")
    for turn in branch(conversation, conversation.head_id):
        add("markdown", "\n".join(_quoted(turn)))
        _add_answer(answer_text(turn.parts), add)
    document = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _add_answer(answer: str, add: Callable[[str, str], None]) -> None:
    """Split an answer at its Python blocks; other blocks, and one that is not finished, stay in the prose. Line by
    line: an expression over the whole answer takes time without end for one that repeats a mark."""
    prose: list[str] = []
    code: list[str] = []
    fence, python = "", False  # of the block that is open
    for line in answer.split("\n"):
        mark = _FENCE.match(line)
        if not fence:
            if mark:
                fence, python = mark[1], mark[2].lower() in _CODE
            (code if fence else prose).append(line)
            continue
        code.append(line)
        if line.startswith(fence) and not line[len(fence) :].strip("`~ \t\r"):
            if python:
                add("markdown", "\n".join(prose).strip())
                add("code", "\n".join(code[1:-1]).rstrip("\n"))
                prose = []
            else:
                prose += code
            fence, code = "", []
    add("markdown", "\n".join([*prose, *code]).strip())


def export_json(conversation: ConversationRecord) -> bytes:
    """All branches, as the API shows them."""
    return msgspec.json.format(msgspec.json.encode(conversation_to_wire(conversation, conversation.turns)), indent=1)
