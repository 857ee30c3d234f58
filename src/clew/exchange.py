"""One HTTP request to an ASGI application, without a socket: a step at a time, in bounded memory.

Who is faster waits: the application is given a piece of the body when it asks for one, and gets no
further than `AHEAD_MAX` messages ahead of what was taken of its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

Message = Mapping[str, Any]
Piece = tuple[bytes, bool]
"""Some of a request's body, and whether more follows."""

AHEAD_MAX = 4
"""Messages that the application may send before they are taken."""

CHUNK_BYTES = 65_536
"""The most of a request's body that the application gets at a time, as it would from a socket."""

WANTS: Message = {"type": "wants"}
"""Comes last among what the application sent, where it waits for more of the request's body."""

_under_way: set[asyncio.Task[None]] = set()
"""The tasks of applications: an event loop alone does not keep them."""

log = logging.getLogger("clew.exchange")


class BrokenOff(Exception):
    """The application has ended and its answer has not; why, is the cause."""


class Exchange:
    """To be used on one event loop, by one task at a time; any other may call `leave`."""

    def __init__(self, app: Any, scope: Mapping[str, Any]) -> None:
        self._app, self._scope = app, scope
        self._change = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._sent: list[Message] = []
        self._given: memoryview | None = None
        self._more = True  # of the body follows what was given
        self._wants = self._complete = self._left = self._over = False
        self._failure: Exception | None = None

    async def step(self, piece: Piece | None, timeout_s: float | None) -> list[Message]:
        """Give a piece where one is wanted (one always is at first), and wait for what the
        application sends or wants next. Raises TimeoutError, and BrokenOff if nothing will come.
        """
        async with asyncio.timeout(timeout_s), self._change:
            if piece is not None:
                self._give(*piece)
            await self._change.wait_for(
                lambda: self._sent or self._wants or self._over or self._left
            )
            sent, self._sent = self._sent, []
            self._change.notify_all()
        if self._wants:
            sent.append(WANTS)
        if not sent:
            raise BrokenOff("Clew broke off its answer.") from self._failure
        return sent

    async def leave(self) -> None:
        """Nothing more will be given or taken. The application is told, and left to itself."""
        async with self._change:
            self._left = True
            self._change.notify_all()

    def _give(self, body: bytes, more: bool) -> None:
        self._given, self._more, self._wants = memoryview(body), more, False
        self._change.notify_all()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            _under_way.add(self._task)
            self._task.add_done_callback(_under_way.discard)

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            self._failure = error
            if self._left or self._complete:  # else whoever waits is told
                log.exception("%s %s failed", self._scope["method"], self._scope["path"])
        finally:
            async with self._change:
                self._over = True
                self._change.notify_all()

    async def _receive(self) -> Message:
        async with self._change:
            self._wants = self._given is None and self._more
            self._change.notify_all()
            await self._change.wait_for(
                lambda: self._given is not None or self._left or self._complete
            )
            if self._given is None or self._left:
                return {"type": "http.disconnect"}
            body, rest = bytes(self._given[:CHUNK_BYTES]), self._given[CHUNK_BYTES:]
            self._given = rest or None
            return {"type": "http.request", "body": body, "more_body": bool(rest) or self._more}

    async def _send(self, message: Message) -> None:
        """Waits until there is room; leads nowhere once the client has left."""
        async with self._change:
            await self._change.wait_for(lambda: len(self._sent) < AHEAD_MAX or self._left)
            if not self._left:
                self._sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._complete = True
            self._change.notify_all()
