"""One HTTP request and its answer, as the handlers see them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from clew.core.errors import BadRequest, ClewError
from clew.core.ids import is_id, key_of, random_part
from clew.executor.executor import Executor
from clew.store.once import Once
from clew.store.store import Store
from clew.wire.checks import Record
from clew.wire.errors import Act, Face, not_found
from clew.wire.queries import decode_query
from clew.wire.refusals import shown

BODY_MAX = 32 * 1024 * 1024
"""Bytes of a request body: 10,485,760 characters of input fit, in any script."""

DEFAULT_PROJECT = "proj_default"
KEY_MAX = 255
"""Characters of an `Idempotency-Key`."""

_ETAG = re.compile(r'(?:W/)?("?)(?P<revision>[0-9]{1,18})\1\Z')

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_BAD_JSON = (
    "Invalid body: failed to parse JSON value. Please check the value to ensure it is valid JSON. "
    "(Common errors include trailing commas, missing closing brackets, missing quotation marks, "
    "etc.)"
)


class Answer(msgspec.Struct):
    """`body` is JSON bytes; `revision` of the thread goes out as its ETag."""

    body: bytes
    revision: int | None = None
    status: int = 200
    headers: list[tuple[bytes, bytes]] = []
    type: bytes = b"application/json"


class Stream(msgspec.Struct):
    """Server-sent events, sent as they come."""

    chunks: AsyncIterator[bytes]


class Server(msgspec.Struct):
    """What handlers work with. `now` is the clock, in milliseconds since 1970."""

    store: Store
    executor: Executor
    now: Callable[[], int]
    routes: Sequence[Route]


class Route(msgspec.Struct, frozen=True):
    """One line of the route table: a method, a path, and what answers it.

    `face` chooses the words of errors; `body` and `query` are what the request may hold.
    """

    method: str
    path: str
    handler: Callable[[Server, Request], Awaitable[Answer | Stream]]
    face: Face
    summary: str
    body: Record | None = None
    query: Record | None = None
    act: Act = "append"


class Request:
    """What came in: path parameters, query, headers and body, decoded when asked for."""

    __slots__ = ("_headers", "params", "project", "query_string", "raw_body", "route")

    def __init__(
        self,
        route: Route,
        params: list[str],
        headers: Iterable[tuple[bytes, bytes]],
        query_string: bytes,
        raw_body: bytes,
    ) -> None:
        self.route, self.params, self.raw_body = route, params, raw_body
        self.query_string, self._headers = query_string, dict(headers)
        self.project = self.header(b"openai-project") or DEFAULT_PROJECT
        if self.project != DEFAULT_PROJECT and not is_id(self.project):
            raise BadRequest("That is no id of a project.", "OpenAI-Project", "invalid_value")

    def header(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def json(self) -> Any:
        """The JSON body, not yet checked; an empty one is `{}`."""
        try:
            return _decode(self.raw_body) if self.raw_body else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest(_BAD_JSON, None, "invalid_json") from None

    def body(self) -> dict[str, Any]:
        """The JSON body, checked by the route's spec."""
        body = self.json()
        assert self.route.body is not None
        self.route.body.check(body)
        return body  # type: ignore[no-any-return]

    def query_pairs(self) -> list[tuple[str, str]]:
        try:
            text = self.query_string.decode("ascii")
            return parse_qsl(text, keep_blank_values=True, errors="strict")
        except (UnicodeDecodeError, ValueError):
            raise BadRequest(
                "The query string is not valid UTF-8.", None, "invalid_query"
            ) from None

    def query(self) -> dict[str, Any]:
        """The query, checked by the route's spec."""
        spec = self.route.query or _NO_QUERY
        if not self.query_string:
            return {}
        return decode_query(self.query_pairs(), spec)

    def key(self, noun: str, place: int = 0) -> str:
        """The key in a path id; what is no id of that noun is not found, like any other."""
        id = self.params[place]
        key = key_of(noun, id)
        if key is None:
            raise ClewError("not_found", not_found(noun, shown(id), self.route.face))
        return key

    def id(self, noun: str, place: int) -> str:
        """A path id as it came; what cannot be an id is not found, like any other."""
        id = self.params[place]
        if not is_id(id):
            raise ClewError("not_found", not_found(noun, shown(id), self.route.face))
        return id

    def once(
        self, now_ms: int, answer: Callable[[Any], bytes], *, project_wide: bool = False
    ) -> Once | None:
        """The request's `Idempotency-Key`, if it has one."""
        key = self.header(b"idempotency-key")
        if key is None:
            return None
        if not 0 < len(key) <= KEY_MAX:
            raise BadRequest(
                f"An Idempotency-Key has 1 to {KEY_MAX} characters.", "Idempotency-Key"
            )
        act = f"{self.route.method} {self.route.path} {self.params}".encode()
        fingerprint = hashlib.sha256(act + self.raw_body).hexdigest()
        return Once(key, fingerprint, now_ms, answer, project_wide)

    def if_revision(self) -> int | None:
        """The revision in `If-Match`, None for none or `*`."""
        tag = self.header(b"if-match")
        if tag is None or tag.strip() == "*":
            return None
        found = _ETAG.match(tag.strip())
        if found is None:
            raise BadRequest("If-Match takes a thread's ETag.", "If-Match", "invalid_value")
        return int(found["revision"])


_NO_QUERY = Record({})


def new_request_id() -> bytes:
    return b"req_" + random_part().encode()


def too_large() -> ClewError:
    message = f"The request body is larger than {BODY_MAX} bytes."
    return ClewError("too_large", message, None, "request_too_large")
