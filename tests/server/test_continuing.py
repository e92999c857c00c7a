"""Going on after an answer that stopped before its text began."""

from __future__ import annotations

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.server.servers import Panel, text_of

ONLY_REASONING = Scenario(tokens=[], reasoning="Let me think", finish="length")


async def test_to_continue_an_answer_that_is_only_reasoning_asks_its_question_again(
    panel: Panel, model: FakeVLLM
) -> None:
    before = await panel.finished("Who are you?")
    model.use(ONLY_REASONING)
    file = {"type": "file", "path": "a.py", "text": "the_content = 1"}
    conversation = before["conversation_id"]
    thought = await panel.finished("What is in it?", conversation_id=conversation, context=[file])
    assert thought["state"] == "length" and text_of(thought) == ""
    asked = model.requests[-1].body["messages"]

    again = await panel.finished("", conversation_id=conversation, continue_of=thought["id"])
    assert model.requests[-1].body["messages"] == asked
    model.use(Scenario(text="A number."))
    answered = await panel.finished("", conversation_id=conversation, continue_of=again["id"])
    assert model.requests[-1].body["messages"] == asked
    assert text_of(answered) == "A number."

    await panel.finished("Thanks", conversation_id=conversation)
    assert model.requests[-1].body["messages"][: len(asked)] == asked
