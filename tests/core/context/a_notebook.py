"""Notebooks, models and conversations for the tests of the context package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from cellar import wire
from cellar.context import Prompt, PromptInput, Redactor, Rule, SentTurn, TokenCounter, build_prompt

SOURCES = (
    "import numpy as np\nimport pandas as pd",
    "df = pd.read_csv('measurements.csv')\ndf.head()",
    "def normalise(values):\n    return (values - values.mean()) / values.std()",
    "df['level'] = normalise(df['raw'])",
    "df.groupby('station')['level'].mean()",
)


def a_model(context_length: int = 32_768, vision: bool | None = None) -> wire.Model:
    return wire.Model(id="a-model", context_length=context_length, vision=vision)


def a_cell(number: int, source: str | None = None, output: str = "", count: int | None = None) -> wire.Cell:
    text = source if source is not None else f"# step {number}\n{SOURCES[number % len(SOURCES)]}"
    outputs = (wire.Output(kind="stdout", text=output),) if output else ()
    return wire.Cell(id=f"{number:08x}-0000", kind="code", source=text, execution_count=count, outputs=outputs)


def a_notebook(cells: int = 20, output: str = "", active: int | None = None) -> wire.NotebookPart:
    made = tuple(a_cell(number, output=output, count=number + 1) for number in range(cells))
    return wire.NotebookPart(
        path="work/analysis.ipynb", cells=made, active_cell=made[active].id if active is not None else None
    )


def edited(part: wire.NotebookPart, index: int, **changes: object) -> wire.NotebookPart:
    cells = list(part.cells)
    cells[index] = msgspec.structs.replace(cells[index], **changes)
    return msgspec.structs.replace(part, cells=tuple(cells))


@dataclass
class AConversation:
    """Asks one question after the other, as the server does, and keeps what was sent."""

    model: wire.Model = field(default_factory=a_model)
    redactor: Redactor = field(default_factory=Redactor)
    counter: TokenCounter = field(default_factory=TokenCounter)
    history: list[SentTurn] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    rules: tuple[Rule, ...] = ()
    max_tokens: int | None = None

    def ask(
        self,
        question: str,
        parts: Sequence[wire.ContextPart] = (),
        answer: str = "Use a loop.\n```python\nfor x in y: ...\n```",
        mode: wire.Mode = "ask",
    ) -> Prompt:
        prompt = build_prompt(
            PromptInput(
                model=self.model,
                question=question,
                mode=mode,
                history=tuple(self.history),
                parts=parts,
                rules=self.rules,
                counter=self.counter,
                redactor=self.redactor,
                max_tokens=self.max_tokens,
            )
        )
        self.prompts.append(prompt)
        # through JSON, as the server keeps it
        stored = msgspec.json.decode(msgspec.json.encode(prompt.sent), type=SentTurn)
        self.history.append(msgspec.structs.replace(stored, answer=answer))
        return prompt


def text_of(prompt: Prompt) -> str:
    """Everything that leaves, as one text."""
    return msgspec.json.encode(prompt.messages).decode()


def newest(prompt: Prompt) -> str:
    content = prompt.messages[-1]["content"]
    assert isinstance(content, str)
    return content


def row(prompt: Prompt, kind: str) -> wire.ReceiptPart:
    return next(part for part in prompt.receipt.parts if part.kind == kind)
