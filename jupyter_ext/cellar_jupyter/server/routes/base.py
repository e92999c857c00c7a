"""What all routes share: the door (Jupyter's own authentication, authorisation and XSRF check), bodies, errors.

One table says which HTTP status a class of `cellar.errors` gets; a test fails on a class it does not know. No line here
logs what a request carried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from cellar import errors, wire
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ..defects import describe

if TYPE_CHECKING:
    from ..workspace import Workspace

_T = TypeVar("_T")

STATUS: dict[type[errors.CellarError], int] = {
    errors.CellarError: 500,
    errors.ModelServerError: 502,
    errors.ModelServerDown: 502,
    errors.ModelLoading: 503,
    errors.ModelTimeout: 504,
    errors.ModelNotFound: 400,
    errors.ContextTooLong: 400,
    errors.NoVision: 400,
    errors.QueueFull: 503,
    errors.RateLimited: 429,
    errors.QuotaExceeded: 429,
    errors.Unauthorized: 502,  # the model server's 401, not ours: the browser must not think it is signed out
    errors.Forbidden: 403,
    errors.RequestRefused: 502,
    errors.ModelFailed: 502,
    errors.RequestError: 400,
    errors.BadRequest: 400,
    errors.TooLarge: 413,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.OutsideWorkspace: 403,
    errors.Unreadable: 422,
    errors.DiskRefused: 507,
}

CODE_OF_STATUS = {400: "bad_request", 403: "forbidden", 404: "not_found", 405: "bad_request", 413: "too_large"}
"""For refusals that Jupyter or tornado make, not we."""


class Route(APIHandler):
    """One route. `identity` in a path is a turn's or conversation's id."""

    auth_resource = "cellar"

    cellar: Workspace

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")  # no conversation in a browser's cache

    async def prepare(self) -> None:  # type: ignore[override]  # as APIHandler itself does
        """Jupyter's own door; the XSRF check also for reading: an answer is worth as much as a question."""
        await super().prepare()
        if self.current_user and self.request.method in ("GET", "HEAD"):
            self.check_xsrf_cookie()
        if self.current_user:
            self.cellar = await self.settings["cellar"].workspace()

    def body(self, kind: type[_T]) -> _T:
        """The request's JSON, checked. Raises `TooLarge` or `BadRequest` with the path of what is wrong."""
        raw = self.request.body
        if len(raw) > wire.MAX_BODY_BYTES:
            raise errors.TooLarge(f"The request has {len(raw):,} bytes; at most {wire.MAX_BODY_BYTES:,} are taken")
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError as error:
            if "length <=" in str(error):
                raise errors.TooLarge(str(error)) from None
            raise errors.BadRequest(str(error)) from None
        except (msgspec.DecodeError, UnicodeError):
            raise errors.BadRequest("The request is not JSON") from None

    def reply(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.finish(msgspec.json.encode(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every refusal is a `wire.ErrorBody`."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if isinstance(error, errors.CellarError):
            info = error.info()
            status_code = STATUS.get(type(error), 500)
            if error.retry_after is not None:
                self.set_header("Retry-After", str(max(1, round(error.retry_after))))
        elif isinstance(error, web.HTTPError):
            message = error.log_message or error.reason or "refused"
            info = wire.ErrorInfo(
                code=CODE_OF_STATUS.get(status_code, "internal"),
                message=message.split("\n")[0],
                detail={"why": "door"} if status_code == 403 else {},
            )
        else:
            info = wire.ErrorInfo(code="internal", message="Internal error")
        self.set_status(status_code)
        self.finish(msgspec.json.encode(wire.ErrorBody(error=info)))

    def _request_summary(self) -> str:
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    def _log(self) -> None:
        """Jupyter writes the address of a request into its log: ours without what stands behind the `?`, since words
        that were searched for are as private as a question."""
        self.request.uri = self.request.path
        super()._log()

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A refusal is no defect; a defect is logged by type and place, since its text may quote the request."""
        if isinstance(value, errors.CellarError):
            self.log.debug("Cellar: %s %s", self.request.method, value.code)
        elif isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)
        elif value is not None:
            self.log.error("Cellar: %s failed: %s", type(self).__name__, describe(value))
