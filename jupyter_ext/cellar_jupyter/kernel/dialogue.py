"""This kernel's conversation with the model: what was sent and answered, what was masked, what it cost.

It lives in the kernel's memory and ends with it (or with `%ai reset`). Prompts are made by `cellar.context`, the same
builder as the panel's, so budget, order and redaction are the same; the values of secret environment variables of the
kernel's own process are masked too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from cellar import wire
from cellar.client import UsageSeen
from cellar.context import Prompt, PromptInput, Redactor, SentTurn, TokenCounter, build_prompt


@dataclass
class Spent:
    """Since the extension was loaded: questions that got an answer or part of one, and tokens. `told`: the server has
    reported some; `untold`: a whole answer came without a report."""

    questions: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    told: bool = False
    untold: bool = False


class Dialogue:
    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.spent = Spent()
        self._environ = environ
        self._turns: list[SentTurn] = []
        self._redactor = Redactor(environ=dict(environ))
        self._counters: dict[str, TokenCounter] = {}

    def reset(self) -> None:
        """Forget the conversation, not what it cost."""
        self._turns.clear()
        self._redactor = Redactor(environ=dict(self._environ))

    def prompt(
        self,
        model: wire.Model,
        question: str,
        parts: Sequence[wire.ContextPart],
        *,
        max_tokens: int = 0,
        alone: bool = False,
    ) -> Prompt:
        """`max_tokens` of the answer, 0: a share of what the model reads. `alone`: without the earlier turns, whose
        context would travel with them. The next turns see it all the same: it goes on where the conversation is."""
        self._redactor = Redactor(self._redactor.state, dict(self._environ))  # os.environ may have changed meanwhile
        prompt = build_prompt(
            PromptInput(
                model=model,
                question=question,
                history=() if alone else tuple(self._turns),
                parts=tuple(parts),
                counter=self._counters.setdefault(model.id, TokenCounter()),
                redactor=self._redactor,
                max_tokens=max_tokens or None,
            )
        )
        if alone and self._turns:
            last = self._turns[-1]
            sent = msgspec.structs.replace(prompt.sent, head=(), dropped=last.dropped, bare=last.bare)
            prompt = msgspec.structs.replace(prompt, sent=sent)
        return prompt

    def keep(self, prompt: Prompt, answer: str, usage: UsageSeen | None, *, whole: bool = True) -> None:
        """A question that got an answer, or part of one (not `whole`): servers report tokens at the end, so those of a
        part are estimated. A question that got nothing leaves no trace."""
        counter = self._counters[prompt.receipt.model]
        if usage is not None:
            self.spent.told = True
            self.spent.prompt += usage.prompt
            self.spent.completion += usage.completion
            self.spent.cached += usage.cached or 0
            counter.calibrate(prompt.receipt.prompt_tokens, usage.prompt, prompt.pictures)
        elif answer.strip() and not whole:
            self.spent.prompt += prompt.receipt.prompt_tokens
            self.spent.completion += counter.count(answer)[0]
        elif answer.strip():
            self.spent.untold = True
        if answer.strip():
            self.spent.questions += 1
            self._turns.append(msgspec.structs.replace(prompt.sent, answer=self._redactor.mask(answer)))
