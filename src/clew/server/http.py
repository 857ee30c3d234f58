"""One HTTP request and its answer, as the handlers see them."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from clew.core.busy import OnBusy
from clew.core.errors import BadRequest, ClewError
from clew.core.ids import is_id, key_of, random_part
from clew.core.vector_stores import Found
from clew.executor.deliveries import Deliverer
from clew.executor.executor import Executor
from clew.server.logs import request_id
from clew.store.once import Once
from clew.store.store import Store
from clew.wire.checks import Record
from clew.wire.errors import Act, Face, not_found, not_found_param
from clew.wire.queries import decode_query
from clew.wire.refusals import shown

BODY_MAX = 32 * 1024 * 1024
"""Bytes of a request body: 10,485,760 characters of input fit, in any script."""

BODY_TIMEOUT_S = 60.0
"""How long a client may take to send its request body, or the next piece of a streamed one."""

BODY_BYTES_PER_S_MIN = 1_024
"""How slowly a streamed body may come; the first minute is free."""

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


EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
"""The headers of server-sent events."""


class Stream(msgspec.Struct):
    """A body sent as it comes: events, or what `headers` say."""

    chunks: AsyncIterator[bytes]
    headers: Sequence[tuple[bytes, bytes]] = EVENTS


class Disconnected(Exception):
    """The client went away before its request was complete."""


class Server(msgspec.Struct):
    """What handlers work with. `now` is the clock, in milliseconds since 1970; `answers` counts
    what was answered, by status. Who adds or removes what is indexed calls `wake_indexer`, who
    makes something due to a webhook wakes the `deliverer`; `search` finds chunks
    (`clew.tools.searching`). `on_busy` is what happens on a busy thread where neither request nor
    thread says so, `on_busy_in` the same for single projects."""

    store: Store
    executor: Executor
    now: Callable[[], int]
    routes: Sequence[Route]
    wake_indexer: Callable[[], None]
    search: Callable[..., Awaitable[list[Found]]]
    deliverer: Deliverer
    on_busy: str = "reject"
    on_busy_in: Mapping[str, str] = {}
    answers: Counter[int] = msgspec.field(default_factory=Counter)

    def busy(self, project: str, asked: str | None) -> OnBusy:
        """What happens if a thread of the project is busy, where the request asks for this."""
        return OnBusy(asked, self.on_busy_in.get(project, self.on_busy))


class Route(msgspec.Struct, frozen=True):
    """One line of the route table: a method, a path, and what answers it.

    `face` chooses the words of errors; `body` and `query` are what the request may hold. With
    `tail` the last parameter is all the rest of the path, slashes and all. What `takes` its body as
    a "stream" reads it itself, by `Request.chunks`, and limits it.
    """

    method: str
    path: str
    handler: Callable[[Server, Request], Awaitable[Answer | Stream]]
    face: Face
    summary: str
    body: Record | None = None
    query: Record | None = None
    act: Act = "append"
    takes: Literal["json", "stream"] = "json"
    tail: bool = False


class Request:
    """What came in: path parameters, query, headers and body, decoded when asked for."""

    __slots__ = ("_headers", "_receive", "params", "project", "query_string", "raw_body", "route")

    def __init__(
        self,
        route: Route,
        params: list[str],
        headers: Iterable[tuple[bytes, bytes]],
        query_string: bytes,
        raw_body: bytes,
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self.route, self.params, self.raw_body = route, params, raw_body
        self._receive = receive
        self.query_string, self._headers = query_string, dict(headers)
        check_origin(self._headers)
        self.project = self.header(b"openai-project") or DEFAULT_PROJECT
        if self.project != DEFAULT_PROJECT and not is_id(self.project):
            raise BadRequest("That is no id of a project.", "OpenAI-Project", "invalid_value")

    async def left(self) -> None:
        """Wait until the client is gone; for ever, where nobody can tell."""
        message = await self._receive()
        if message["type"] != "http.disconnect":
            await asyncio.Event().wait()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body of a route that takes a stream, as it comes; no more is read than is asked for.

        Raises Disconnected when the client goes away before its end.
        """
        more, now, received = True, asyncio.get_running_loop().time, 0
        begun = now()
        while more:
            behind = begun + received / BODY_BYTES_PER_S_MIN
            try:
                async with asyncio.timeout_at(min(now(), behind) + BODY_TIMEOUT_S):
                    message = await self._receive()
            except TimeoutError:
                raise too_slow() from None
            if message["type"] == "http.disconnect":
                raise Disconnected
            more = bool(message.get("more_body"))
            received += len(message.get("body", b""))
            yield message.get("body", b"")

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
            words = not_found(noun, shown(id), self.route.face)
            raise ClewError("not_found", words, not_found_param(noun))
        return key

    def id(self, noun: str, place: int) -> str:
        """A path id as it came; what cannot be an id is not found, like any other."""
        id = self.params[place]
        if not is_id(id):
            raise ClewError("not_found", not_found(noun, shown(id), self.route.face))
        return id

    def once(
        self,
        now_ms: int,
        answer: Callable[[Any], bytes],
        *,
        project_wide: bool = False,
        body: bytes | None = None,
    ) -> Once | None:
        """The request's `Idempotency-Key`, if it has one. `body` stands for a streamed body."""
        key = self.header(b"idempotency-key")
        if key is None:
            return None
        if not 0 < len(key) <= KEY_MAX:
            raise BadRequest(
                f"An Idempotency-Key has 1 to {KEY_MAX} characters.", "Idempotency-Key"
            )
        act = f"{self.route.method} {self.route.path} {self.params}".encode()
        fingerprint = hashlib.sha256(act + (self.raw_body if body is None else body)).hexdigest()
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


def check_origin(headers: Mapping[bytes, bytes]) -> None:
    """Refuse pages of other sites: a browser lets any page open a WebSocket to any address, and
    post forms and text there. Where a proxy has changed the host, the browser still says whether
    the page is of this site."""
    origin = headers.get(b"origin")
    if origin is None or headers.get(b"sec-fetch-site") == b"same-origin":
        return
    if origin.partition(b"://")[2] != headers.get(b"host"):
        message = "A page of another origin may not ask this."
        raise ClewError("unauthorized", message, "Origin", "wrong_origin")


def new_request_id() -> str:
    return "req_" + random_part()


def unsupported_media(header: str, value: bytes) -> ClewError:
    message = f"Unsupported {header}: '{value.decode('latin-1')}'. This method takes JSON."
    return ClewError("unsupported_media", message, None, "unsupported_media_type")


def internal_error() -> ClewError:
    said = f"The server had an error. It has been logged with request id {request_id.get()}."
    return ClewError("internal", said)


def too_slow() -> ClewError:
    return ClewError("too_slow", "The request body did not arrive in time.", None, "timeout")


def too_large() -> ClewError:
    message = f"The request body is larger than {BODY_MAX} bytes."
    return ClewError("too_large", message, None, "request_too_large")
