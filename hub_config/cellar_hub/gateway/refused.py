"""How the gateway says no: one exception with everything the answer needs, in OpenAI's error shape. Pure.

The words in `code` are those that `cellar.refusals` reads. No message quotes anything of a request but a model's name
that is in the table.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Refused(Exception):
    """An answer that is not the model's. `retry_after` in seconds; `more`: further fields of the error object."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.more = more

    def headers(self) -> list[tuple[bytes, bytes]]:
        named = [(b"content-type", b"application/json")]
        if self.retry_after is not None:
            named.append((b"retry-after", str(max(1, round(self.retry_after))).encode()))
        if self.status == 401:
            named.append((b"www-authenticate", b"Bearer"))
        return named

    def body(self) -> bytes:
        """For an HTTP answer: `code` is the word."""
        return self._body(self.code)

    def event(self) -> bytes:
        """For a stream that has begun under 200: `code` is the status, `type` the word."""
        return b"data: %b\n\ndata: [DONE]\n\n" % self._body(self.status)

    def _body(self, code: str | int) -> bytes:
        error = {"message": self.message, "type": self.code, "param": self.param, "code": code, **self.more}
        if self.retry_after is not None:
            error["retry_after"] = round(self.retry_after, 1)
        return msgspec.json.encode({"error": error})


def unauthorized(message: str) -> Refused:
    return Refused(401, "unauthorized", message)


def forbidden(message: str, *, param: str | None = None) -> Refused:
    return Refused(403, "permission_denied", message, param=param)


def bad_request(message: str, *, param: str | None = None) -> Refused:
    return Refused(400, "invalid_request_error", message, param=param)


def too_large(limit: int) -> Refused:
    return Refused(413, "request_too_large", f"The request is larger than {limit} bytes")


def no_such_model(name: str) -> Refused:
    return Refused(
        404, "model_not_found", f"The model {printable(name)!r} does not exist or is not yours", param="model"
    )


def queue_full(message: str, retry_after: float) -> Refused:
    return Refused(503, "queue_full", message, retry_after=retry_after)


def not_available(message: str, *, retry_after: float = 5.0, code: str = "gateway_unavailable") -> Refused:
    return Refused(503, code, message, retry_after=retry_after)


def not_listed(*, loading: bool) -> Refused:
    if loading:
        return not_available("The model is being loaded", code="model_loading")
    return not_available("The model server cannot be reached", code="model_down")


def quota_exceeded(window: str, used: int, limit: int, resets_at: float, now: float) -> Refused:
    message = f"The token quota of this {window} is used up"
    wait = max(1.0, resets_at - now)
    return Refused(
        429, "quota_exceeded", message, retry_after=wait, window=window, used=used, limit=limit, resets_at=resets_at
    )


def rate_limited(limit: int, retry_after: float) -> Refused:
    return Refused(429, "rate_limit_exceeded", f"More than {limit} requests in a minute", retry_after=retry_after)


def printable(text: str, limit: int = 100) -> str:
    """For messages and logs: one line of at most `limit` printable characters."""
    line = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"
