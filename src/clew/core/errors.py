"""The one family of errors. Whose fault it is, is part of the error.

`CODES` is the closed list: what went wrong -> HTTP status and OpenAI error type. Whatever is not a
`ClewError` is a fault of ours: "internal" to users and whole in the log.
"""

from __future__ import annotations

CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "invalid_request_error"),
    "unauthorized": (401, "invalid_request_error"),
    "not_found": (404, "invalid_request_error"),
    "method_not_allowed": (405, "invalid_request_error"),
    "busy": (400, "invalid_request_error"),
    "too_slow": (408, "invalid_request_error"),
    "conflict": (409, "invalid_request_error"),
    "stale": (412, "invalid_request_error"),
    "too_large": (413, "invalid_request_error"),
    "unsupported_media": (415, "invalid_request_error"),
    "key_reused": (422, "invalid_request_error"),
    "head_too_large": (431, "invalid_request_error"),
    "rate_limited": (429, "rate_limit_error"),
    "internal": (500, "server_error"),
    "upstream": (502, "server_error"),
    "unavailable": (503, "server_error"),
}


class ClewError(Exception):
    """An error with a code from `CODES`, a sentence for people, and the offending parameter.

    `wire_code` is OpenAI's own `code` (`invalid_type`, `conversation_locked`, …) where it has one.
    """

    def __init__(
        self, code: str, message: str, param: str | None = None, wire_code: str | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.wire_code = code, message, param, wire_code

    @property
    def status(self) -> int:
        return CODES[self.code][0]

    @property
    def type(self) -> str:
        return CODES[self.code][1]


class BadRequest(ClewError):
    """The request is wrong; `wire_code` says how, `param` where."""

    def __init__(self, message: str, param: str | None = None, wire_code: str | None = None):
        super().__init__("bad_request", message, param, wire_code)


class NotFound(ClewError):
    """No such `noun` in this project. The wire faces put it in their own words."""

    def __init__(self, noun: str, id: str) -> None:
        super().__init__("not_found", f"No {noun} found with id '{id}'.")
        self.noun, self.id = noun, id


class Busy(ClewError):
    """The thread has an active run, so nobody else may write to it (keys, not ids)."""

    def __init__(self, thread: str, run: str) -> None:
        super().__init__("busy", f"Thread thread_{thread} already has an active run run_{run}.")
        self.thread, self.run = thread, run


class Stale(ClewError):
    """The `If-Match` revision is not the thread's; nothing was changed."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(
            "stale", f"The thread is at revision {actual}, not {expected}.", "If-Match", "stale"
        )
        self.actual = actual


class IllegalMove(ClewError):
    """A run cannot go from `status` to what was asked for; nothing was changed."""

    def __init__(self, status: str, target: str) -> None:
        super().__init__("bad_request", f"A run in status '{status}' cannot become '{target}'.")
        self.run_status, self.target = status, target


class Replayed(Exception):
    """Not an error: this `Idempotency-Key` was answered before; `answer` is what was said."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("replayed")
        self.answer = answer
