"""Context: from what the user sees to what the model reads. Pure; every edge builds its prompts here.

`records` are the shapes, `build_prompt` the one function; `redaction` hides secrets, `tokens` counts.
"""

from cellar.context.prompt import build_prompt
from cellar.context.reasons import reason_of
from cellar.context.records import Block, Folder, Notice, Prompt, PromptInput, Rule, SentTurn
from cellar.context.redaction import RedactionState, Redactor
from cellar.context.title import title_from
from cellar.context.tokens import TokenCounter, estimate

__all__ = [
    "Block",
    "Folder",
    "Notice",
    "Prompt",
    "PromptInput",
    "RedactionState",
    "Redactor",
    "Rule",
    "SentTurn",
    "TokenCounter",
    "build_prompt",
    "estimate",
    "reason_of",
    "title_from",
]
