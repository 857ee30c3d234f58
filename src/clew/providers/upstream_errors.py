"""What went wrong at a model server, as a ProviderError that says whether and when to try again.

Whose fault it is: 400, 413 and 422 are the prompt's, 429 is the rate limit's, all else is the
server's (a wrong key or base URL is the operator's, which to people who ask is the server's).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from clew.providers.provider import ProviderError

CODES = {400: "invalid_prompt", 413: "invalid_prompt", 422: "invalid_prompt"} | {
    429: "rate_limit_exceeded"
}
"""HTTP status -> run error code; any other is `server_error`."""

TOO_LONG = "context_length_exceeded"
TOO_LONG_CODES = (b"context_length_exceeded", b"exceed_context_size_error")
"""OpenAI and Groq say the first, llama.cpp the second."""

_TOO_LONG = re.compile(
    r"context.?(length|window|size|limit)|prompt is too long|maximum model length"
    r"|input token count .* exceeds|must have less than \d+ tokens",
    re.IGNORECASE,
)
"""The words of those who send no code: vLLM, SGLang, Ollama, Mistral; Anthropic; vLLM; Google;
Text Generation Inference."""

REFUSALS = frozenset({400, 413, 422, 500})
"""Statuses that a window too long comes with."""

RETRIED = frozenset({408, 409, 429})
"""Statuses that may pass, besides all from 500 up; the same as the official clients retry."""

WAIT_S_MAX = 60.0
BACKOFF_S = 0.5
BACKOFF_S_MAX = 8.0


class UpstreamError(ProviderError):
    """A failed attempt. `wait_s` is how long the server asked us to wait, if it did."""

    def __init__(
        self, code: str, message: str, *, passes: bool = False, wait_s: float | None = None
    ) -> None:
        super().__init__(code, message)
        self.passes, self.wait_s = passes, wait_s

    def pause_s(self, attempt: int, random: Callable[[], float]) -> float:
        """Seconds before the next attempt: the server's own wish, else doubling with jitter."""
        if self.wait_s is not None:
            return self.wait_s
        backoff: float = min(BACKOFF_S * 2 ** (attempt - 1), BACKOFF_S_MAX)
        return backoff * (1 - 0.25 * random())


def refused(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    model: str,
    speaks: str = "chat completions",
) -> UpstreamError:
    """The server answered with something else than 200."""
    said = message_in(body)
    sentence = _sentence(status, said, model, speaks)
    if status in REFUSALS and is_too_long(said, body):
        return UpstreamError(TOO_LONG, sentence)
    return UpstreamError(
        CODES.get(status, "server_error"),
        sentence,
        passes=_passes(status, headers.get("x-should-retry")),
        wait_s=wait_asked_for(headers),
    )


def broke_off(kind: str = "") -> UpstreamError:
    """The stream ended before the answer did; `kind` names the error that ended it, if any."""
    why = f" ({kind})" if kind else ""
    return UpstreamError("server_error", f"The model's stream broke off{why}.", passes=True)


def failed_midway(error: Any) -> UpstreamError:
    """An error object in place of a chunk."""
    fields = error if isinstance(error, dict) else {"message": str(error)}
    named = f"{fields.get('code')} {fields.get('type')}"
    message = str(fields.get("message") or named)
    code = _code_named(named)
    if is_too_long(message, named.encode()):
        code = TOO_LONG
    busy = code == "rate_limit_exceeded" or "overloaded" in named
    said = f"The model failed while it answered: {message}"
    return UpstreamError(code, said, passes=busy)


def is_too_long(message: str, body: bytes) -> bool:
    """Whether a refusal means that the window is more than the model can read."""
    return any(code in body for code in TOO_LONG_CODES) or _TOO_LONG.search(message) is not None


def _code_named(named: str) -> str:
    """Our code for the code and type of an error object."""
    if "rate_limit" in named or "429" in named:
        return "rate_limit_exceeded"
    blames = any(word in named for word in ("invalid_", "policy", "image", "too_large"))
    return "invalid_prompt" if blames else "server_error"


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """Seconds the headers ask for, at most `WAIT_S_MAX`; None when they ask for nothing."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        asked = _number(headers.get(name))
        if asked is not None:
            return min(asked * unit_s, WAIT_S_MAX)
    until = _date(headers.get("retry-after"))
    return None if until is None else min(max(until - time.time(), 0.0), WAIT_S_MAX)


def message_in(body: bytes) -> str:
    """The server's own words, from the error shapes in use; else the body as it stands."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return body.decode("utf-8", "replace").strip()
    while isinstance(data, dict):
        data = data.get("error") or data.get("message") or data.get("detail") or str(data)
    return str(data)


def _sentence(status: int, said: str, model: str, speaks: str) -> str:
    if status == 401:
        # Its words may quote the key, whole or in part.
        return "The model server refused Clew's API key (401)."
    why = {
        403: "does not let Clew in (403)",
        404: f"has no {speaks} under this base URL, or no model '{model}' (404)",
        429: "asks for fewer requests (429)",
    }.get(status, f"refused the prompt ({status})" if status in CODES else f"failed ({status})")
    return f"The model server {why}" + (f": {said}" if said else ".")


def _passes(status: int, should_retry: str | None) -> bool:
    if should_retry in ("true", "false"):
        return should_retry == "true"
    return status in RETRIED or status >= 500


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, OverflowError):
        return None
