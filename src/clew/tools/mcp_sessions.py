"""Sessions with MCP servers: opened, used by one operation at a time, kept for the run's next.

A session lives in a task of its own, because the SDK's must end in the task in which they began.
An operation that fails, or is cancelled, takes its session with it: the exchange ends at once, and
nobody gets to hear what came too late. Nothing is ever sent again.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from clew.tools.gate import Gate
from clew.tools.mcp_failures import INVALID_ANSWER, MESSAGE_MAX, TIMED_OUT, Failure, refused
from clew.tools.mcp_http import ANSWER_BYTES_MAX, NO_MESSAGE, Wire
from clew.tools.mcp_servers import Server

if TYPE_CHECKING:
    from mcp import Client

IDLE_S = 15.0
"""How long a run's session is kept for its next call: about as long as a model thinks."""

IDLE_MAX = 64
TELL_S = 0.2
"""How long a server is given to hear that a call was given up."""

END_S = 2.0

T = TypeVar("T")

_LOGGERS = """client mcp.client.client mcp.client.streamable_http mcp.shared.jsonrpc_dispatcher
    mcp.shared.dispatcher mcp.shared.tool_name_validation httpx2 httpcore2.connection
    httpcore2.http11""".split()
_SAYS_NOTHING = ("Server returned an error response", "Not Found", "Session terminated")
"""How the SDK puts a status of HTTP that came without an error of MCP's own."""

_in_session: ContextVar[bool] = ContextVar("_in_session", default=False)


class Session:
    """One conversation with a server. Made by `Sessions`."""

    def __init__(self, server: Server, wire: Wire) -> None:
        self._server, self._wire = server, wire
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self._working: asyncio.Task[Any] | None = None
        self._life = asyncio.create_task(self._live())
        self._life.add_done_callback(_look_away)
        self.has_listed = False
        """The SDK knows how the tools of this server want to be called."""

    @property
    def is_over(self) -> bool:
        return self._life.done() or self._leaving.is_set()

    async def run(self, operation: Callable[[Client], Awaitable[T]]) -> T:
        """What the operation gives. Raises Failure."""
        self._wire.begin()
        work = asyncio.create_task(self._work(operation))
        self._working = work
        work.add_done_callback(_look_away)
        try:
            ends: set[asyncio.Future[Any]] = {work, self._life, self._wire.broken}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and self._wire.trouble is None:
                return work.result()
        except asyncio.CancelledError:
            await self._tell_off(work)
            raise
        except Exception as error:
            raise self._failure(error) from None
        finally:
            work.cancel()
        died = self._life.done() and not self._life.cancelled() and self._life.exception()
        raise self._failure(_first(died) if died else None)

    def when_over(self, do: Callable[[], object]) -> None:
        self._life.add_done_callback(lambda _: do())

    def end(self) -> None:
        """Break off whatever is going on."""
        self._leaving.set()
        self._life.cancel()

    def leave(self) -> None:
        """Say goodbye, in the background."""
        self._leaving.set()

    async def ended(self) -> None:
        tasks = {self._life} if self._working is None else {self._life, self._working}
        await asyncio.wait(tasks, timeout=END_S)

    async def _live(self) -> None:
        from mcp import Client, Implementation
        from mcp.client.streamable_http import streamable_http_client

        _in_session.set(True)
        try:
            async with self._wire.client(self._server.headers) as http:
                streams = streamable_http_client(
                    self._server.url,
                    http_client=http,
                    terminate_on_close=False,
                    max_sse_event_size=ANSWER_BYTES_MAX,
                )
                us = Implementation(name="clew", version="1")
                async with Client(streams, client_info=us, cache=None) as client:
                    self._wire.is_open = True
                    if not self._client.done():
                        self._client.set_result(client)
                    await self._leaving.wait()
                await self._wire.leave(http)
        except Exception as error:
            if not self._client.done():
                self._client.set_exception(self._failure(_first(error)))
                self._client.exception()
            raise

    async def _work(self, operation: Callable[[Client], Awaitable[T]]) -> T:
        _in_session.set(True)
        return await operation(await asyncio.shield(self._client))

    async def _tell_off(self, work: asyncio.Task[Any]) -> None:
        """Let the server hear that nobody waits for the answer any more.

        Newer servers hear it from the end of the exchange.
        """
        work.cancel()
        if not self._client.done() or is_modern(self._client.result()):
            return
        self._wire.was_told_off.clear()
        try:
            async with asyncio.timeout(TELL_S):
                await self._wire.was_told_off.wait()
        except TimeoutError:
            pass

    def _failure(self, error: BaseException | None) -> Failure:
        """What went wrong, without our secrets."""
        found = self._wire.trouble or _failure_of(error, self._wire.status)
        said = self._server.redacted(found.message)
        return Failure(said[:MESSAGE_MAX], found.code, found.status)


class Sessions:
    """The sessions that are kept between operations, each for whoever `key` stands for."""

    def __init__(self, gate: Gate, idle_s: float = IDLE_S) -> None:
        self._gate, self._idle_s = gate, idle_s
        self._idle: dict[Hashable, list[Session]] = {}
        self._all: set[Session] = set()
        self._verify: ssl.SSLContext | None = None

    @asynccontextmanager
    async def session(self, key: Hashable, server: Server) -> AsyncIterator[Session]:
        """A session for one operation; kept if it goes well, else ended. Raises Failure."""
        session = self._kept(key) or await self._opened(server)
        try:
            yield session
        except BaseException:
            session.end()
            await session.ended()
            raise
        self._keep(key, session)

    async def load(self) -> ssl.SSLContext:
        """What all sessions need, and takes its time. Raises Failure where it is not there."""
        if self._verify is None:
            await _load()
            self._verify = await asyncio.to_thread(httpx2.create_ssl_context)
        return self._verify

    async def close(self) -> None:
        """Say goodbye to all servers, and wait a moment for them."""
        sessions = list(self._all)
        for session in sessions:
            session.leave()
        await asyncio.gather(*(session.ended() for session in sessions))
        for session in sessions:
            session.end()

    def _kept(self, key: Hashable) -> Session | None:
        while kept := self._idle.pop(key, []):
            session = kept.pop()
            if kept:
                self._idle[key] = kept
            if not session.is_over:
                return session
        return None

    async def _opened(self, server: Server) -> Session:
        verify = await self.load()
        session = Session(server, Wire(server.url, self._gate, verify))
        self._all.add(session)
        session.when_over(lambda: self._all.discard(session))
        return session

    def _keep(self, key: Hashable, session: Session) -> None:
        if session.is_over or sum(map(len, self._idle.values())) >= IDLE_MAX:
            session.leave()
            return
        self._idle.setdefault(key, []).append(session)
        asyncio.get_running_loop().call_later(self._idle_s, self._drop, key, session)

    def _drop(self, key: Hashable, session: Session) -> None:
        """Nobody came for it. (Who comes meanwhile and brings it back has it end a bit early.)"""
        kept = self._idle.get(key, [])
        if session in kept:
            kept.remove(session)
            if not kept:
                del self._idle[key]
            session.leave()


async def _load() -> None:
    """The SDK, which takes a second to import. Raises Failure where it is not installed."""
    try:
        await asyncio.to_thread(importlib.import_module, "mcp")
    except ModuleNotFoundError:
        raise Failure("MCP servers need the extra: pip install 'clew[mcp]'.") from None
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _is_for_others not in logger.filters:
            logger.addFilter(_is_for_others)


def _is_for_others(record: logging.LogRecord) -> bool:
    """What the SDK logs has what servers say in it, and URLs with their keys: not for our log."""
    return not _in_session.get()


def _look_away(task: asyncio.Task[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()


def _first(error: BaseException) -> BaseException:
    """The error that a group of them is about."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _failure_of(error: BaseException | None, status: int) -> Failure:
    """What the SDK raised, in words for people; `status` is that of the last answer."""
    from mcp import MCPError
    from mcp_types import REQUEST_TIMEOUT
    from pydantic import ValidationError

    match error:
        case Failure():
            return error
        case MCPError() if status >= 400 and error.message in _SAYS_NOTHING:
            return refused(status)
        case MCPError() if error.code == REQUEST_TIMEOUT:
            return Failure("The server did not answer in time.", TIMED_OUT)
        case MCPError() if error.message.startswith("Failed to parse"):  # and pydantic's report
            return Failure(NO_MESSAGE, INVALID_ANSWER)
        case MCPError():
            return Failure(error.error.message or "The server gave no reason.", error.code)
        case ValidationError():
            places = error.errors(include_input=False, include_url=False, include_context=False)
            where = ".".join(map(str, places[0]["loc"]))
            said = f"The server's answer has a wrong shape: {where}: {places[0]['msg']}."
            return Failure(said, INVALID_ANSWER)
        case RuntimeError():
            return Failure(str(error), INVALID_ANSWER)
        case _ if status >= 400:
            return refused(status)
        case _:
            return Failure("The server ended the session.")


def is_modern(client: Client) -> bool:
    """Whether the server is of the kind that keeps no session."""
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS

    return client.protocol_version in MODERN_PROTOCOL_VERSIONS
