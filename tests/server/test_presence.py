"""Work for a client ends when it leaves, and only then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew.server.http import Disconnected, Request
from clew.server.presence import while_there
from clew.server.routes import ROUTES

from .live import run


class Client:
    """A client that leaves when it is told to, or that nobody can hear."""

    def __init__(self, *, silent: bool = False) -> None:
        self.gone, self.silent = asyncio.Event(), silent
        self.request = Request(ROUTES[0], [], [], b"", b"", self.receive)

    async def receive(self) -> dict[str, Any]:
        if not self.silent:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b""}


class Work:
    """Work that waits until it may go on."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.ended = asyncio.Event(), asyncio.Event(), False

    async def do(self) -> int:
        self.begun.set()
        try:
            await self.go_on.wait()
            return 7
        finally:
            self.ended = True


@pytest.mark.parametrize("silent", [True, False])
def test_work_comes_to_its_result(silent: bool):
    """Who stays gets what the work comes to, also where nobody can tell who is there."""

    async def play() -> None:
        client, work = Client(silent=silent), Work()
        work.go_on.set()
        assert await while_there(client.request, work.do()) == 7

    run(play())


def test_work_ends_when_the_client_leaves():
    """It has ended when it is told that the client is gone."""

    async def play() -> None:
        client, work = Client(), Work()
        waiting = asyncio.create_task(while_there(client.request, work.do()))
        await work.begun.wait()
        client.gone.set()
        with pytest.raises(Disconnected):
            await waiting
        assert work.ended

    run(play())


def test_what_goes_wrong_is_what_went_wrong():
    """An error of the work is the caller's; a cancelled caller ends the work."""

    async def fail() -> None:
        raise LookupError

    async def play() -> None:
        client, work = Client(), Work()
        with pytest.raises(LookupError):
            await while_there(client.request, fail())
        waiting = asyncio.create_task(while_there(client.request, work.do()))
        await work.begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert work.ended

    run(play())
