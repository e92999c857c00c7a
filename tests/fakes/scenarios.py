"""What a fake model server shall do: plain data, so that Python tests, browser tests and benchmarks can ask for it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tests.fakes import answers, openai


class Scenario(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One behaviour of `/v1/chat/completions`. Times in seconds.

    What is said: `tokens`, else `answer` (a name of tests.fakes.answers), else `text`, else `words` tokens, else
    `markdown` tokens (`maths` adds formulas), else an echo of the question's end.
    """

    tokens: list[str] | None = None
    answer: str | None = None
    text: str | None = None
    words: int | None = None
    markdown: int | None = None
    maths: bool = False
    reasoning: str = ""
    reasoning_field: Literal["reasoning", "reasoning_content"] = "reasoning"
    finish: str | None = "stop"
    done: bool = True  # `data: [DONE]` at the end
    usage: bool = True
    prompt_tokens: int | None = None  # None: counted
    cached_tokens: int | None = None  # None: the server does not tell

    rate: float | None = None  # tokens per second; None: at full speed
    gated: bool = False  # each token waits for a release
    prefill: Literal["none", "before_headers", "after_headers"] = "none"  # wait for one release before the first token
    silent: bool = False  # takes the request and says nothing, ever
    queue: list[tuple[int, int]] = []  # the gateway's comments (position, ahead) before the first token
    queue_gated: bool = False  # each of them waits for a release
    keep_alive_every: float | None = None  # such comments while it waits with prefill="after_headers"
    keep_alive: int = 0  # comments before each token, as `--sse-keep-alive-interval` makes them
    cut_after: int | None = None  # so many tokens, then the connection breaks
    error_after: int | None = None  # so many tokens, then the event `error` under HTTP 200
    error: dict[str, Any] | str = "CUDA error"  # or the object that vLLM makes of it
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    piece: int | None = None  # cut the stream into pieces of so many bytes
    batch: int = 1  # tokens in one write

    status: int = 200  # anything else: refused with `body`
    body: Any = None  # JSON, or a str sent as it is; None: no byte
    content_type: str = "application/json"  # of such a body; also of a 200 that is no stream
    headers: dict[str, str] = {}
    close_before_answer: bool = False  # reads the request and closes the socket
    times: int = 0  # for so many requests, then the next scenario; 0: for all that follow

    def error_object(self) -> dict[str, Any]:
        if isinstance(self.error, dict):
            return self.error
        return {"message": self.error, "type": "InternalServerError", "param": None, "code": 500}

    def said(self, question: str) -> list[str]:
        if self.tokens is not None:
            return self.tokens
        if self.answer is not None:
            return answers.to_tokens(answers.ANSWERS[self.answer])
        if self.text is not None:
            return answers.to_tokens(self.text)
        if self.words is not None:
            return answers.words(self.words)
        if self.markdown is not None:
            return answers.markdown(self.markdown, self.maths)
        return answers.to_tokens(question)


def _refusal(status: int, message: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": status, **more}}


PRESETS: dict[str, list[Scenario]] = {
    "echo": [Scenario()],
    "gated": [Scenario(text="one two three four five six", gated=True)],
    "slow_prefill": [Scenario(text="at last", prefill="after_headers")],
    "slow_headers": [Scenario(text="at last", prefill="before_headers")],
    "silent": [Scenario(silent=True)],
    "cut": [Scenario(text="this answer breaks off here", cut_after=4)],
    "no_done": [Scenario(text="this answer just ends", finish=None, done=False)],
    "length": [Scenario(text="this answer is too long to", finish="length")],
    "reasoning": [Scenario(text="It is 42.", reasoning="Six times seven, so")],
    "stopping": [Scenario(status=500, body=_refusal(500, openai.STOPPING, "InternalServerError"))],
    "no_template": [Scenario(status=400, body=openai.no_template())],
    "engine_died": [Scenario(text="it begins and then it dies", error_after=3, error=openai.ENGINE_DIED)],
    "error_in_stream": [Scenario(text="it begins and then it fails", error_after=3)],
    "rate_limited": [
        Scenario(status=429, headers={"retry-after": "7"}, body=_refusal(429, "Slow down", "rate_limit_exceeded"))
    ],
    "quota": [
        Scenario(
            status=429,
            body=_refusal(
                429, "Quota of tokens used up", "quota_exceeded", used=1000, limit=1000, resets_at=1893456000
            ),
        )
    ],
    "unauthorized": [Scenario(status=401, body={"error": "Unauthorized"})],
    "forbidden": [Scenario(status=403, body=_refusal(403, "Your group may not use this model", "forbidden"))],
    "loading": [Scenario(status=503, body=_refusal(503, "Loading model", "unavailable_error"))],
    "queue_full": [
        Scenario(status=503, headers={"retry-after": "20"}, body=_refusal(503, "Queue is full", "Service Unavailable"))
    ],
    "busy_then_ok": [Scenario(status=503, times=1), Scenario(text="second time lucky")],
    "too_long": [
        Scenario(
            status=400,
            body=_refusal(
                400,
                "This model's maximum context length is 4096 tokens. However, your prompt contains 5000 input tokens.",
                "BadRequestError",
                param="input_tokens",
            ),
        )
    ],
    "blind": [
        Scenario(status=400, body=_refusal(400, "fake-coder is not a multimodal model", "BadRequestError"), times=1),
        Scenario(),
    ],
    "too_large": [
        Scenario(status=413, body="<html><h1>413 Request Entity Too Large</h1></html>", content_type="text/html")
    ],
    "broken": [Scenario(status=500, body=_refusal(500, "EngineCore died", "InternalServerError"))],
    "not_a_stream": [Scenario(content_type="text/html", body="<html><body>Please log in</body></html>")],
    "queued": [Scenario(text="your turn", queue=[(3, 5), (2, 2), (1, 1)], queue_gated=True, gated=True)],
    "words": [Scenario(words=4000)],
    "markdown": [Scenario(markdown=1560)],
    "maths": [Scenario(markdown=1560, maths=True)],
    "keep_alive": [Scenario(text="still here", keep_alive=2)],
    **{name: [Scenario(answer=name)] for name in answers.ANSWERS},
}
