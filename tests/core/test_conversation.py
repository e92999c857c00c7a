"""The tree of turns, how events change a turn, what a prompt starts from, and exports. Pure: no server, no disk."""

from __future__ import annotations

import msgspec
import pytest
from cellar import wire
from cellar.context import Block, SentTurn
from cellar.conversation import (
    ConversationRecord,
    TurnRecord,
    branch,
    find,
    fold,
    history,
    last_settled,
    leaf_below,
    pills_of,
    question_of,
    rechain,
    title_of,
    waiting,
    with_turn,
    without_turn,
)
from cellar.export import export_json, export_markdown, export_notebook


def turn(name: str, parent: str | None = None, **more: object) -> TurnRecord:
    fields: dict[str, object] = {"mode": "ask", "state": "complete", "text": f"question {name}", "created": 1.0, **more}
    if "parts" not in fields and fields["state"] == "complete":
        fields["parts"] = (wire.TextPart(text=f"answer {name}"),)
    fields.setdefault("sent", SentTurn(blocks=(Block("question", f"question {name}"),)))
    return TurnRecord(id=name, parent_id=parent, **fields)  # type: ignore[arg-type]  # a test's shorthand


def conversation(*turns: TurnRecord, head: str | None = None) -> ConversationRecord:
    return ConversationRecord(
        id="c",
        title="A title",
        created=1.0,
        updated=1.0,
        turns=turns,
        head_id=head or (turns[-1].id if turns else None),
    )


# -- the tree ---------------------------------------------------------------------------------------------------------


def test_a_branch_runs_from_the_root_to_its_leaf() -> None:
    tree = conversation(turn("a"), turn("b", "a"), turn("c", "a"), turn("d", "c"))
    assert [t.id for t in branch(tree, "d")] == ["a", "c", "d"]
    assert branch(tree, "nothing") == []
    assert leaf_below(tree, "a") == "d"


def test_a_damaged_tree_that_loops_ends() -> None:
    tree = conversation(turn("a", "b"), turn("b", "a"))
    assert {t.id for t in branch(tree, "a")} == {"a", "b"}
    assert leaf_below(tree, "a")


def test_removing_a_turn_hangs_its_children_on_its_parent() -> None:
    tree = without_turn(conversation(turn("a"), turn("b", "a"), turn("c", "b"), head="b"), "b")
    assert [(t.id, t.parent_id) for t in tree.turns] == [("a", None), ("c", "a")]
    assert tree.head_id == "a"


def test_a_turn_takes_the_place_of_the_one_with_its_id() -> None:
    tree = with_turn(conversation(turn("a"), turn("b", "a")), turn("a", text="edited"))
    assert [t.text for t in tree.turns] == ["edited", "question b"]


def test_waiting_turns_stand_one_behind_the_other() -> None:
    tree = conversation(
        turn("a"),
        turn("b", "a", state="pending", follows=True),
        turn("branch", "x", state="pending"),
        turn("c", "b", state="held", follows=True),
    )
    chained = rechain(without_turn(tree, "b"), "a")
    assert [(t.id, t.parent_id) for t in waiting(chained)] == [("branch", "x"), ("c", "branch")]
    assert last_settled(tree, "c") == "a"


# -- what a prompt starts from ----------------------------------------------------------------------------------------


def test_history_has_the_answered_turns_of_the_branch() -> None:
    tree = conversation(
        turn("a"),
        turn("failed", "a", state="error"),
        turn("partial", "failed", state="stopped", parts=(wire.TextPart(text="half"),)),
        turn("elsewhere", "a"),
    )
    past = history(tree, "partial")
    assert [t.answer for t in past.turns] == ["answer a", "half"]
    assert past.summary is None


def test_history_leaves_reasoning_out() -> None:
    parts = (wire.ReasoningPart(text="hmm"), wire.TextPart(text="yes"))
    assert history(conversation(turn("a", parts=parts)), "a").turns[0].answer == "yes"


def test_a_summary_stands_for_everything_before_it() -> None:
    tree = conversation(turn("a"), turn("s", "a", mode="compact"), turn("b", "s"))
    past = history(tree, "b")
    assert past.summary == "answer s"
    assert [t.answer for t in past.turns] == ["answer b"]


def test_a_summary_that_was_stopped_stands_for_nothing() -> None:
    half = turn("s", "a", mode="compact", state="stopped", parts=(wire.TextPart(text="half"),))
    past = history(conversation(turn("a"), half), "s")
    assert past.summary is None
    assert [t.answer for t in past.turns] == ["answer a"]


# -- events -----------------------------------------------------------------------------------------------------------


def test_folding_events_gives_the_turn_they_tell() -> None:
    events: list[wire.Event] = [
        wire.QueuedEvent(position=2, ahead=3),
        wire.StartedEvent(model="m"),
        wire.ReasoningEvent(delta="let "),
        wire.ReasoningEvent(delta="me"),
        wire.TextEvent(delta="A"),
        wire.TextEvent(delta="B"),
        wire.UsageEvent(usage=wire.Usage(prompt=5, completion=2)),
        wire.FinishedEvent(reason="length"),
    ]
    running = fold(turn("a", state="running", parts=()), events[:1])
    assert (running.state, running.queue) == ("queued", events[0])
    ended = fold(running, events[1:])
    assert ended.state == "length" and ended.queue is None and ended.model == "m"
    assert ended.parts == (wire.ReasoningPart(text="let me"), wire.TextPart(text="AB"))
    assert ended.usage == wire.Usage(prompt=5, completion=2)


def test_a_snapshot_replaces_all_text_before_it() -> None:
    events: list[wire.Event] = [
        wire.TextEvent(delta="old"),
        wire.SnapshotEvent(parts=(wire.TextPart(text="new"),)),
        wire.TextEvent(delta="er"),
    ]
    assert fold(turn("a", parts=()), events).parts == (wire.TextPart(text="newer"),)


def test_an_error_ends_a_turn_and_keeps_its_text() -> None:
    error = wire.ErrorInfo(code="model_failed", message="no")
    ended = fold(turn("a", parts=()), [wire.TextEvent(delta="half"), wire.ErrorEvent(error=error)])
    assert ended.state == "error" and ended.error == error and ended.parts == (wire.TextPart(text="half"),)


# -- words ------------------------------------------------------------------------------------------------------------


def test_without_words_or_wish_a_title_is_the_date() -> None:
    assert title_of("Plot", 0.0, automatic=False).startswith("19")
    assert title_of(" \n ", 86400.0).startswith("1970-01-0")


def test_search_shows_where_the_words_stand() -> None:
    tree = conversation(turn("a", text="x" * 500 + " The Needle here " + "y" * 500))
    excerpt = find(tree, "needle")
    assert excerpt is not None and "The Needle here" in excerpt and len(excerpt) < 140
    assert find(tree, "TITLE") == ""
    assert find(tree, "nowhere") is None


def test_pills_name_what_was_attached() -> None:
    parts = (
        wire.FilePart(path="a/b.txt"),
        wire.SelectionPart(path="b.py", text="x", start_line=2, end_line=4, auto=True),
        wire.CellsPart(path="n.ipynb", cells=(wire.Cell(id="1", kind="code"),)),
        wire.ImagePart(name="shot.png", image=wire.Image(mime="image/png", data="")),
        wire.GonePart(kind="cells", path="n.ipynb", label="Cell 3"),
    )
    assert [(pill.kind, pill.label, pill.auto) for pill in pills_of(parts)] == [
        ("file", "b.txt", False),
        ("selection", "b.py:2-4", True),
        ("cells", "n.ipynb (1)", False),
        ("image", "shot.png", False),
        ("cells", "Cell 3", False),
    ]


# -- export -----------------------------------------------------------------------------------------------------------

ANSWER = "Do:\n```python\nprint(1)\n```\nor\n```bash\nls\n```\nand\n````python\ns = '''\n```\n'''\n````\n"


def test_markdown_quotes_questions_and_keeps_answers() -> None:
    exported = export_markdown(conversation(turn("a", text="one\ntwo", parts=(wire.TextPart(text=ANSWER),))))
    assert exported.startswith("# A title\n\n> one\n> two\n\nDo:")
    assert "```bash" in exported


def test_only_the_branch_shown_is_exported() -> None:
    tree = conversation(turn("a"), turn("b", "a"), turn("c", "a"), head="c")
    assert "answer b" not in export_markdown(tree)
    assert [t["id"] for t in msgspec.json.decode(export_json(tree))["turns"]] == ["a", "b", "c"]


def test_a_notebook_has_python_as_code_and_the_rest_as_prose() -> None:
    exported = export_notebook(conversation(turn("a", parts=(wire.TextPart(text=ANSWER),))))
    cells = msgspec.json.decode(exported)["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    assert code == ["print(1)", "s = '''\n```\n'''"]
    assert any("```bash" in cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert len({cell["id"] for cell in cells}) == len(cells)


# -- to continue ------------------------------------------------------------------------------------------------------


def test_to_continue_an_answer_with_text_is_a_question_of_its_own() -> None:
    more = turn("b", "a", continue_of="a", state="pending")
    assert question_of(conversation(turn("a", state="length", parts=(wire.TextPart(text="So"),)), more), more) == more


def test_to_continue_an_answer_without_text_asks_its_question_again() -> None:
    thinking = (wire.ReasoningPart(text="Hmm"),)
    first = turn("a", state="length", parts=thinking)
    second = turn("b", "a", continue_of="a", state="length", parts=thinking)
    third = turn("c", "b", continue_of="b", state="pending")
    assert question_of(conversation(first, second, third), third) == first
    looped = turn("a", "b", continue_of="b", state="length", parts=thinking)
    assert question_of(conversation(looped, second), second) == looped


@pytest.mark.parametrize(
    "piece", ["`" * 400_000, "```\n" * 100_000, "~" * 400_000, "```python\n" * 40_000, "````\n```\n" * 40_000]
)
def test_an_answer_that_repeats_a_mark_is_exported_in_linear_time(piece: str) -> None:
    text = f"{piece}\n" + "x\n" * 200
    exported = export_notebook(conversation(turn("a", parts=(wire.TextPart(text=text),))))
    assert msgspec.json.decode(exported)["cells"][-1]["source"].endswith("x")


def test_an_exported_answer_keeps_blocks_inside_of_longer_fences_together() -> None:
    text = "See\n````python\na = 1\n```\nb = 2\n````\nand\n```sh\nls\n```\n```py\nunfinished"
    exported = export_notebook(conversation(turn("a", parts=(wire.TextPart(text=text),))))
    cells = [(cell["cell_type"], cell["source"]) for cell in msgspec.json.decode(exported)["cells"][2:]]
    assert cells == [
        ("markdown", "See"),
        ("code", "a = 1\n```\nb = 2"),
        ("markdown", "and\n```sh\nls\n```\n```py\nunfinished"),
    ]
