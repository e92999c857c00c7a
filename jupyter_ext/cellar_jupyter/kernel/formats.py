"""What `-f` asks of the model, and what it takes out of the answer.

`html` is never rendered by itself: a model's page in a trusted output would run its scripts with the user's rights. It
is shown as source; `-o page` and `IPython.display.HTML(page)` render it on the user's own decision.
"""

from __future__ import annotations

import json
import re

from .options import Format

ASK: dict[Format, str] = {
    "markdown": "",
    "text": "Answer in plain text without any Markdown.",
    "code": "Answer with one fenced code block that holds the complete code and with nothing else.",
    "json": "Answer with one valid JSON value and with nothing else: no prose, no code fence.",
    "html": "Answer with one HTML fragment and with nothing else: no prose, no code fence.",
    "math": "Answer in LaTeX: every formula between $$ and $$, no other Markdown.",
}

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n(.*?)(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)


def code_blocks(markdown: str) -> list[str]:
    """The insides of its fenced blocks, in order; an unfinished last one counts."""
    return [match.group(2).rstrip("\n") for match in _FENCE.finditer(markdown)]


def extract_code(answer: str) -> str:
    """All fenced code, blocks parted by an empty line; an answer without a fence is code as a whole."""
    blocks = code_blocks(answer)
    return "\n\n".join(blocks) if blocks else answer.strip()


def extract_html(answer: str) -> str:
    return extract_code(answer)


def extract_json(answer: str) -> object:
    """The JSON value of an answer, with or without a fence. Raises ValueError, for NaN and Infinity as well: Python
    writes and reads them, JSON has none."""
    candidates = [answer.strip(), *code_blocks(answer)]
    for candidate in candidates:
        try:
            value: object = json.loads(candidate, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            continue
        return value
    raise ValueError("no JSON value in the answer")


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def value_of(answer: str, format: Format) -> object:
    """What `-o` stores. Raises ValueError when `json` was asked for and there is none."""
    if format == "json":
        return extract_json(answer)
    if format == "code":
        return extract_code(answer)
    if format == "html":
        return extract_html(answer)
    return answer


def answer_to_markdown(answer: str, format: Format, language: str = "python") -> str:
    """The answer as the card and the saved notebook show it."""
    if format == "text":
        return _fenced(answer, "text")
    if format == "json":
        return _fenced(extract_code(answer), "json")
    if format == "html":
        return _fenced(extract_html(answer), "html")
    if format == "code" and not code_blocks(answer):
        return _fenced(answer, language)
    if format == "math":
        return _displayed(answer)
    return answer


def _displayed(answer: str) -> str:
    r"""`\[ \]`, `\( \)` and a bare formula become `$$`, which every front end knows."""
    text = "\n\n".join(code_blocks(answer)) or answer
    text = re.sub(r"\\\[(.*?)\\\]", r"$$\1$$", text, flags=re.DOTALL)
    text = re.sub(r"\\\((.*?)\\\)", r"$\1$", text, flags=re.DOTALL)
    return text if "$" in text else f"$$\n{text.strip()}\n$$"


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
