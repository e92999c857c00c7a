"""Turn after turn, a prompt begins with all of the prompt before it."""

from __future__ import annotations

import random

import msgspec
import pytest
from cellar import prompts, wire
from cellar.context import PromptInput, Rule, build_prompt

from tests.core.context.a_notebook import AConversation, a_cell, a_model, a_notebook, edited, newest, row, text_of


def begins_with(later: list[dict[str, object]], earlier: list[dict[str, object]]) -> bool:
    return later[: len(earlier)] == earlier


def test_ten_turns_with_a_cell_edited_and_run_between_keep_their_prefix() -> None:
    chat = AConversation(rules=(Rule("AGENTS.md", "Use tabs."),))
    notebook = a_notebook(40, output="0.123 4.567\n" * 5, active=3)
    for turn in range(10):
        chat.ask(f"Question {turn}?", [notebook])
        notebook = edited(
            notebook,
            turn * 3,
            source=f"# edited in turn {turn}\nx = {turn}",
            outputs=(wire.Output(kind="stdout", text=f"{turn}\n"),),
            execution_count=50 + turn,
        )
        notebook = msgspec.structs.replace(notebook, active_cell=notebook.cells[turn].id)
    for before, after in zip(chat.prompts, chat.prompts[1:], strict=False):
        assert begins_with(after.messages, before.messages)
        assert after.messages[len(before.messages)]["role"] == "assistant"
        assert row(after, "notebook").state == "changes"
        assert row(after, "notebook").tokens < row(chat.prompts[0], "notebook").tokens / 5
        # what is added is small: the answer, the changed cell, the question
        assert after.receipt.prompt_tokens - before.receipt.prompt_tokens < 200
    assert chat.prompts[-1].receipt.left_out_turns == 0


def test_only_the_first_turn_keeps_the_head() -> None:
    chat = AConversation()
    chat.ask("One?")
    chat.ask("Two?")
    assert chat.history[0].head and not chat.history[1].head


def test_an_unchanged_notebook_is_not_sent_again() -> None:
    chat = AConversation()
    notebook = a_notebook(5, active=2)
    chat.ask("One?", [notebook])
    again = chat.ask("Two?", [notebook])
    assert row(again, "notebook").state == "unchanged"
    assert "ctx-cell" not in newest(again)
    assert "Active cell: 3" in newest(again)


def test_the_active_cell_stands_only_in_the_focus_of_the_newest_message() -> None:
    chat = AConversation()
    prompt = chat.ask("One?", [a_notebook(5, active=2)])
    notebook, focus = newest(prompt).split("<ctx-focus>")
    assert "ctive" not in notebook
    assert "Active cell: 3 (code, id 00000002)" in focus


def test_cells_that_are_added_removed_and_moved_are_told_without_the_others() -> None:
    chat = AConversation()
    notebook = a_notebook(6)
    chat.ask("One?", [notebook])
    cells = list(notebook.cells)
    moved = cells.pop(4)
    cells.pop(1)
    cells.insert(0, moved)
    cells.append(a_cell(77, source="brand_new = 1"))
    text = newest(chat.ask("Two?", [msgspec.structs.replace(notebook, cells=tuple(cells))]))
    assert "[removed cells: 00000001]" in text
    assert "[cell 00000004 moved: it is cell 1 now]" in text
    assert "brand_new = 1" in text and text.count("<ctx-cell") == 1
    again = chat.ask("Three?", [msgspec.structs.replace(notebook, cells=tuple(cells))])
    assert row(again, "notebook").state == "unchanged"


def test_a_cell_that_ran_again_with_the_same_output_costs_one_line() -> None:
    chat = AConversation()
    notebook = a_notebook(6, output="same\n")
    chat.ask("One?", [notebook])
    text = newest(chat.ask("Two?", [edited(notebook, 2, execution_count=99)]))
    assert "[run again, same source and outputs: cells 3 In[99]]" in text
    assert "<ctx-cell" not in text


def with_output(notebook: wire.NotebookPart, index: int, text: str, cut: int, mark: str = "m1") -> wire.NotebookPart:
    """The browser left `cut` characters of this output behind; the mark says which output it is."""
    return edited(notebook, index, outputs=(wire.Output(kind="stdout", text=text, cut=cut, mark=mark),))


def test_an_output_that_travels_shorter_this_time_is_the_same_output() -> None:
    chat = AConversation()
    notebook = a_notebook(6)
    chat.ask("One?", [with_output(notebook, 2, "0.5\n" * 1000, 0)])
    again = chat.ask("Two?", [with_output(notebook, 2, "0.5\n" * 100, 3600)])
    assert row(again, "notebook").state == "unchanged"
    other = chat.ask("Three?", [with_output(notebook, 2, "0.5\n" * 100, 3600, mark="m2")])
    assert row(other, "notebook").state == "cut" and newest(other).count("<ctx-cell") == 1


def test_a_cell_whose_output_travelled_short_is_sent_again_when_the_user_points_at_it_and_only_once() -> None:
    chat = AConversation()
    short = with_output(a_notebook(6, active=0), 2, "0.5\n" * 100, 7600)
    whole = with_output(a_notebook(6, active=2), 2, "0.5\n" * 1000, 4000)
    chat.ask("One?", [short])
    assert "<ctx-cell" not in newest(chat.ask("Two?", [short]))
    pointed = newest(chat.ask("Three?", [whole]))
    assert pointed.count("<ctx-cell") == 1 and pointed.count("0.5") == 1000
    assert "<ctx-cell" not in newest(chat.ask("Four?", [whole]))
    assert "<ctx-cell" not in newest(chat.ask("Five?", [short]))


def test_pointing_at_a_cell_sends_nothing_again_when_there_is_no_more_of_it() -> None:
    chat = AConversation()
    short = with_output(a_notebook(6, active=2), 2, "0.5\n" * 100, 7600)
    chat.ask("One?", [short])
    assert "<ctx-cell" not in newest(chat.ask("Two?", [short]))


def test_a_changed_mode_does_not_touch_the_prefix() -> None:
    chat = AConversation()
    first = chat.ask("One?")
    edit = chat.ask("Two?", mode="edit")
    third = chat.ask("Three?")
    assert begins_with(edit.messages, first.messages) and begins_with(third.messages, edit.messages)
    assert prompts.MODES["edit"] in newest(edit)
    assert prompts.MODES["edit"] not in newest(third)


def test_changed_rules_are_told_once_at_the_end_not_in_the_head() -> None:
    chat = AConversation(rules=(Rule("AGENTS.md", "Use tabs."),))
    first = chat.ask("One?")
    chat.rules = (Rule("AGENTS.md", "Use four blanks."),)
    second, third = chat.ask("Two?"), chat.ask("Three?")
    assert begins_with(second.messages, first.messages)
    assert "Use four blanks." in newest(second) and "Use four blanks." not in newest(third)
    assert "Use tabs." in str(third.messages[0]["content"])


def test_rules_stand_in_the_head_in_the_order_of_their_paths() -> None:
    chat = AConversation(
        rules=(Rule(".cellar/rules/b.md", "BBB"), Rule(".cellar/rules/a.md", "AAA"), Rule("AGENTS.md", "ZZZ"))
    )
    head = str(chat.ask("One?").messages[0]["content"])
    assert head.index("ZZZ") < head.index("AAA") < head.index("BBB")
    assert row(chat.prompts[0], "rules").path == "AGENTS.md"


def test_a_turn_without_an_answer_keeps_roles_alternating() -> None:
    chat = AConversation()
    chat.ask("One?", answer="")
    roles = [message["role"] for message in chat.ask("Two?").messages]
    assert roles == ["system", "user", "assistant", "user"]


def a_long_chat(turns: int = 30) -> AConversation:
    chat = AConversation(model=a_model(8_192))
    notebook = a_notebook(30)
    for turn in range(turns):
        chat.ask(f"Question {turn}? " + "why " * 60, [notebook], answer="because " * 120)
        notebook = edited(notebook, turn % 30, source=f"x = {turn}")
    return chat


def test_when_the_budget_is_reached_the_oldest_turns_leave_in_one_step() -> None:
    chat = a_long_chat()
    drops = [prompt.receipt.left_out_turns for prompt in chat.prompts]
    assert drops == sorted(drops) and drops[-1] > 0
    steps = [n for n in range(1, len(drops)) if drops[n] != drops[n - 1]]
    assert len(steps) < len(drops) / 4
    for n in range(1, len(chat.prompts)):
        before, after = chat.prompts[n - 1], chat.prompts[n]
        assert begins_with(after.messages, before.messages) is (n not in steps)
        assert after.receipt.prompt_tokens <= after.receipt.budget
        if n in steps:
            assert after.receipt.prompt_tokens <= after.receipt.budget * 0.62
            assert drops[n] - drops[n - 1] > 1
            assert row(after, "history").left_out_tokens > 0


def test_after_a_drop_the_notebook_is_whole_again() -> None:
    chat = a_long_chat()
    drops = [prompt.receipt.left_out_turns for prompt in chat.prompts]
    step = next(n for n in range(1, len(drops)) if drops[n] > drops[n - 1])
    assert row(chat.prompts[step], "notebook").state == "sent"
    assert newest(chat.prompts[step]).count("<ctx-cell") == 30
    assert row(chat.prompts[step + 1], "notebook").state == "changes"


def test_an_edit_of_an_earlier_question_shares_the_prefix_up_to_it() -> None:
    chat = AConversation()
    notebook = a_notebook(10)
    chat.ask("One?", [notebook])
    second = chat.ask("Two?", [notebook])
    chat.history.pop()
    other = chat.ask("Two, but different?", [notebook])
    assert other.messages[:-1] == second.messages[:-1]
    assert row(other, "notebook").state == "unchanged"


def test_the_same_input_gives_the_same_bytes() -> None:
    one, two = AConversation(), AConversation()
    for chat in (one, two):
        chat.ask("password = 'abc12345'?", [a_notebook(10, output="1\n" * 4000)])
        chat.ask("And now?")
    assert text_of(one.prompts[-1]) == text_of(two.prompts[-1])


def test_a_question_asked_again_sends_the_same_context_byte_for_byte() -> None:
    chat = AConversation()
    chat.ask("One?", [a_notebook(5)])
    second = chat.ask("Two?", [edited(a_notebook(5), 1, source="y = 1"), wire.FilePart(path="a.py", text="x")])
    again = build_prompt(
        PromptInput(
            model=chat.model,
            question="Two?",
            history=tuple(chat.history[:1]),
            copied=chat.history[1],
            counter=chat.counter,
            redactor=chat.redactor,
        )
    )
    assert again.messages == second.messages
    assert [part.kind for part in again.receipt.parts] == [part.kind for part in second.receipt.parts]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_in_between_a_prompt_fits_and_begins_with_the_one_before_unless_turns_left(seed: int) -> None:
    chance = random.Random(seed)
    chat = AConversation(model=a_model(chance.choice([2_048, 4_096, 8_192, 32_768])))
    cells = [a_cell(n, output="1.25 row\n" * chance.randrange(80)) for n in range(chance.randrange(1, 60))]
    fresh = 1_000
    for turn in range(25):
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(cells) + 1)
            match chance.randrange(4):
                case 0:
                    fresh += 1
                    cells.insert(at, a_cell(fresh, source="new = 1\n" * chance.randrange(1, 40)))
                case 1 if len(cells) > 1:
                    cells.pop(at % len(cells))
                case 2 if len(cells) > 1:
                    cells.insert(at % len(cells), cells.pop(chance.randrange(len(cells))))
                case _ if cells:
                    cells[at % len(cells)] = msgspec.structs.replace(
                        cells[at % len(cells)], source=f"x = {turn}", execution_count=turn
                    )
        active = chance.choice(cells).id
        part = wire.NotebookPart(path="a.ipynb", cells=tuple(cells), active_cell=active)
        file = wire.FilePart(path="a.py", text="z = 1\n" * chance.randrange(400))
        prompt = chat.ask(
            "why " * chance.randrange(1, 50), [file, part][chance.randrange(2) :], "so " * chance.randrange(90)
        )
        assert prompt.receipt.prompt_tokens <= prompt.receipt.budget
        assert [m["role"] for m in prompt.messages[1:]] == [
            ("user", "assistant")[n % 2] for n in range(len(prompt.messages) - 1)
        ]
        if turn:
            before, now = chat.history[-2], chat.history[-1]
            same = (before.dropped, before.bare) == (now.dropped, now.bare)
            assert begins_with(prompt.messages, chat.prompts[-2].messages) == same


def test_what_was_masked_is_told_by_the_turn_that_sent_it_first() -> None:
    chat = AConversation()
    first = chat.ask("password = 'hunter2pw'; why?").receipt
    assert [masked.kind for masked in first.masked] == ["password"]
    later = chat.ask("And now?").receipt
    assert later.masked == ()
    assert [row.masked for row in later.parts if row.kind == "history"] == [1]
    again = chat.ask("And with hunter2pw?").receipt
    assert [masked.placeholder for masked in again.masked] == ["«secret:1»"]
