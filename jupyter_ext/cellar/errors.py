"""What can go wrong, drawn as one tree.

    CellarError
    ├── ModelServerError            the model server or gateway; the question may have been read
    │   ├── ModelServerDown         connect error, refused, name not found
    │   ├── ModelLoading            503 while weights load or kernels compile
    │   ├── ModelTimeout            nothing came within the read time-out
    │   ├── ModelNotFound           404: no such model
    │   ├── ContextTooLong          400: more tokens than the model reads (detail: n_prompt, limit)
    │   ├── NoVision                the model does not see the pictures it was sent
    │   ├── QueueFull               503 with Retry-After, or the gateway's queue refused
    │   ├── RateLimited             429
    │   ├── QuotaExceeded           429 with code quota_exceeded (detail: used, limit, resets_at)
    │   ├── Unauthorized            401: the key or token is not accepted
    │   ├── Forbidden               403: policy
    │   ├── RequestRefused          other 4xx: our request was wrong for this server
    │   └── ModelFailed             5xx, an error event in the stream, an answer that is no answer
    └── RequestError                what the browser or the user asked for
        ├── BadRequest              400: wrong type, unknown field
        ├── TooLarge                413
        ├── NotFound                404
        ├── Conflict                409: not in this state
        ├── OutsideWorkspace        403: a path that leads out of the server's root
        ├── Unreadable              422: binary, not UTF-8, not a notebook
        └── DiskRefused             507: no room or no right to write; nothing was changed

A class says what happened by its `code`; each edge (HTTP of the server extension, the kernel's card, the panel) has one
table from class or code to what it shows, and a test that fails on a class it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator

from cellar.wire import ErrorInfo


class CellarError(Exception):
    """Root. `message` is English; `hint` says what helps; `retry_after` in seconds; `detail`: numbers for wording."""

    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_after: float | None = None,
        request_id: str = "",
        detail: dict[str, int | float | str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after = retry_after
        self.request_id = request_id
        self.detail = detail or {}

    def info(self) -> ErrorInfo:
        return ErrorInfo(
            code=self.code,
            message=self.message,
            hint=self.hint,
            retry_after=self.retry_after,
            request_id=self.request_id,
            detail=self.detail,
        )


class ModelServerError(CellarError):
    code = "model_error"


class ModelServerDown(ModelServerError):
    code = "model_down"


class ModelLoading(ModelServerError):
    code = "model_loading"


class ModelTimeout(ModelServerError):
    code = "model_timeout"


class ModelNotFound(ModelServerError):
    code = "model_not_found"


class ContextTooLong(ModelServerError):
    code = "context_too_long"


class NoVision(ModelServerError):
    code = "no_vision"


class QueueFull(ModelServerError):
    code = "queue_full"


class RateLimited(ModelServerError):
    code = "rate_limited"


class QuotaExceeded(ModelServerError):
    code = "quota_exceeded"


class Unauthorized(ModelServerError):
    code = "unauthorized"


class Forbidden(ModelServerError):
    code = "forbidden"


class RequestRefused(ModelServerError):
    code = "request_refused"


class ModelFailed(ModelServerError):
    code = "model_failed"


class RequestError(CellarError):
    code = "bad_request"


class BadRequest(RequestError):
    code = "bad_request"


class TooLarge(RequestError):
    code = "too_large"


class NotFound(RequestError):
    code = "not_found"


class Conflict(RequestError):
    code = "conflict"


class OutsideWorkspace(RequestError):
    code = "outside_workspace"


class Unreadable(RequestError):
    code = "unreadable"


class DiskRefused(RequestError):
    code = "disk_refused"


def all_errors(root: type[CellarError] = CellarError) -> Iterator[type[CellarError]]:
    """Every class of the tree, root first; the tables' tests walk it."""
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)
