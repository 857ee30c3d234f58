"""The way between an official client and the application: streamed, bounded, never a hang.

Everything is asked of both kinds of client; the last test asks it of an older client's HTTP library
too. Applications of a few lines stand in for Clew's own where an answer must go wrong.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import hashlib
import importlib
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import clew
from clew.core.errors import ClewError
from clew.exchange import AHEAD_MAX, CHUNK_BYTES
from clew.providers.catalog import Catalog

from ..server import releases
from .clients import Awaiting, Blocking, Client

RULES = Path(__file__).parents[1] / "server" / "rules.yaml"
MB = 2**20
SIZE = 50 * MB
GROWTH_MAX = 8 * MB

http: Any = importlib.import_module("httpx" if openai.VERSION < "3" else "httpx2")
Message = dict[str, Any]
Send = Callable[[Message], Any]
Receive = Callable[[], Any]

HEAD = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b""}


def piece(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[clew.Clew]:
    with clew.open(f"sqlite:///{tmp_path}/clew.db", script=str(RULES)) as here:
        yield here


@pytest.fixture(params=[Blocking, Awaiting])
def client(here: clew.Clew, request: pytest.FixtureRequest) -> Iterator[Client]:
    client = request.param(here)
    yield client
    client.close()


def both(client: Client, call: Callable[[], Any]) -> Any:
    """What a method of the official client returns, awaited where it must be."""
    return client.run(call, call)


class Leaving:
    """An application that is told when its client leaves, and says so; it sends without end."""

    def __init__(self) -> None:
        self.told, self.sent = threading.Event(), 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send(HEAD)
        left = asyncio.ensure_future(receive())
        while not left.done():
            await send(piece(b"on"))
            self.sent += 1
            await asyncio.sleep(0)
        assert left.result() == {"type": "http.disconnect"}
        self.told.set()


async def settle() -> None:
    """Let everything on Clew's event loop go as far as it can."""
    for _ in range(100):
        await asyncio.sleep(0)


# what goes in and out


def test_a_large_file_is_never_in_memory(client: Client, tmp_path: Path):
    """50 MB go in and come out again, and no more than a few pieces of it are held."""
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        for number in range(SIZE // 64):
            file.write(b"%064d" % number)
    files = client.openai.files
    both(client, lambda: files.create(file=b"warm", purpose="user_data"))
    tracemalloc.start()
    try:
        with source.open("rb") as file:
            made = both(client, lambda: files.create(file=file, purpose="user_data"))
        sent = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        digest = both(client, lambda: downloaded(client, made.id))
        received = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with source.open("rb") as file:
        assert digest == hashlib.file_digest(file, "sha256").hexdigest()
    print(f"in: {sent / MB:.1f} MB held, out: {received / MB:.1f} MB held")
    assert max(sent, received) < GROWTH_MAX


def downloaded(client: Client, file: str) -> Any:
    """The digest of a file's content, streamed."""
    streaming = client.openai.files.with_streaming_response.content(file)
    found = hashlib.sha256()
    if isinstance(client, Blocking):
        with streaming as content:
            for part in content.iter_bytes():
                found.update(part)
        return found.hexdigest()

    async def read() -> str:
        async with streaming as content:
            async for part in content.iter_bytes():
                found.update(part)
        return found.hexdigest()

    return read()


def test_the_body_goes_through_as_it_is_made(here: clew.Clew, client: Client):
    """The next piece is not made before the one before is received, and none of them is large."""
    received: list[int] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            received.append(len(message["body"]))
            more = message["more_body"]
        await send(HEAD)
        await send(END)

    ahead: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(1, 9):
            ahead.append((number - 1) * 2 * CHUNK_BYTES - sum(received))
            yield bytes(2 * CHUNK_BYTES)

    here.app = app
    assert client.ask(pieces()).rest() == b""
    assert ahead == [0] * 8
    assert received == [CHUNK_BYTES] * 16 + [0]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_body_of_known_length_ends_with_its_last_byte(here: clew.Clew, client: Client, size: int):
    """No empty piece follows; and an answer may begin while the body still comes."""
    lasts: list[bytes] = []

    async def echo(scope: Any, receive: Receive, send: Send) -> None:
        await send(HEAD)
        message = await receive()
        while message["more_body"]:
            await send(piece(message["body"]))
            message = await receive()
        lasts.append(message["body"])
        await send({"type": "http.response.body", "body": message["body"]})

    here.app = echo
    assert client.ask(b"x" * size).rest() == b"x" * size
    assert client.ask(iter([b"x" * size, b"y"])).rest() == b"x" * size + b"y"
    assert lasts == [b"x" * min(size, size % CHUNK_BYTES or CHUNK_BYTES), b""]


def test_an_answer_may_come_before_the_body_is_whole(here: clew.Clew, client: Client):
    """The rest of the body is not even made."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(HEAD | {"status": 413})
        await send(END)

    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            made.append(number)
            yield b"x"

    here.app = app
    assert client.ask(pieces()).rest() == b""
    assert len(made) == 1


def test_the_application_waits_for_a_slow_reader(here: clew.Clew, client: Client):
    """Of a thousand chunks no more are made than the few that may wait; then all arrive."""
    sent = 0

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(HEAD)
        for number in range(1000):
            await send(piece(b"%04d" % number))
            sent += 1
        await send(END)

    here.app = app
    answer = client.ask()
    first = answer.next()
    here.run(settle())
    assert 0 < sent <= 2 * AHEAD_MAX
    assert first + answer.rest() == b"".join(b"%04d" % number for number in range(1000))


# a client that leaves


def test_the_application_is_told_when_its_answer_is_closed(here: clew.Clew, client: Client):
    """It can stop then; what it still sends leads nowhere and holds nothing up."""
    here.app = app = Leaving()
    answer = client.ask(b"{}")
    assert answer.next() == b"on"
    here.run(settle())
    assert not app.told.is_set()
    answer.close()
    assert app.told.wait(10)


@pytest.mark.parametrize("begun", [True, False])
def test_the_application_is_told_when_nobody_holds_its_answer(
    here: clew.Clew, client: Client, begun: bool
):
    """A stream that was forgotten, not closed, does not stay open; read from before, or never."""
    here.app = app = Leaving()
    answer = client.ask(b"{}")
    if begun:
        assert answer.next() == b"on"
    here.run(settle())
    circle: list[Any] = [answer]
    circle.append(circle)
    del answer, circle
    gc.collect()
    if isinstance(client, Awaiting):  # what is left of a generator, its event loop ends
        client.run(lambda: None, client.runner.get_loop().shutdown_asyncgens)
    assert app.told.wait(10)


def test_what_is_sent_to_nobody_is_not_kept(here: clew.Clew, client: Client):
    """An application that goes on after its client left does so in little memory."""
    ended = threading.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(HEAD)
        while (await receive())["type"] != "http.disconnect":
            pass
        for _ in range(1000):
            await send(piece(bytes(CHUNK_BYTES)))
        ended.set()

    here.app = app
    answer = client.ask()
    tracemalloc.start()
    try:
        answer.close()
        assert ended.wait(10)
        assert tracemalloc.get_traced_memory()[1] < GROWTH_MAX
    finally:
        tracemalloc.stop()


def test_a_watch_ends_with_the_answer(here: clew.Clew, client: Client):
    """Who waits for the client to leave is told as well when all is said."""
    told = threading.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(HEAD)
        await send(END)
        assert await receive() == {"type": "http.disconnect"}
        told.set()

    here.app = app
    assert client.ask().rest() == b""
    assert told.wait(10)


def test_the_application_is_told_when_the_body_breaks_off(here: clew.Clew, client: Client):
    """The client gets its own error, and a half of a file is not kept."""

    def pieces() -> Iterator[bytes]:
        yield b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        yield bytes(MB)
        raise ArithmeticError("the disk of the client")

    ended, own = threading.Event(), here.app

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await own(scope | {"path": "/v1/files"}, receive, send)
        ended.set()

    here.app = app
    with pytest.raises(ArithmeticError, match="the disk of the client"):
        client.ask(pieces(), headers={"content-type": "multipart/form-data; boundary=B"})
    assert ended.wait(10)
    here.app = own
    assert both(client, client.openai.files.list).data == []


def test_a_download_stops_when_its_reader_leaves(here: clew.Clew, client: Client):
    """Most of the file is never read."""
    made = both(
        client, lambda: client.openai.files.create(file=bytes(20 * MB), purpose="user_data")
    )
    ended, sent, own = threading.Event(), 0, here.app

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            nonlocal sent
            sent += len(message.get("body", b""))
            await send(message)

        path = f"/v1/files/{made.id}/content"
        await own(scope | {"path": path, "method": "GET"}, receive, counted)
        ended.set()

    here.app = app
    answer = client.ask()
    while not answer.next():  # the first piece may be the empty one that tells of the head
        pass
    answer.close()
    assert ended.wait(10)
    assert 0 < sent < 5 * MB


def test_a_run_goes_on_when_its_reader_leaves(here: clew.Clew, client: Client):
    """A response whose stream was closed at its first event is completed all the same."""

    def begin() -> Any:
        return client.openai.responses.create(model="scripted", input="hello", stream=True)

    stream = both(client, begin)
    first = client.run(lambda: next(iter(stream)), lambda: anext(aiter(stream)))
    client.run(stream.close, stream.close)
    retrieve = client.openai.responses.retrieve
    found = first.response
    while found.status in ("queued", "in_progress"):
        found = both(client, lambda: retrieve(first.response.id))
    assert (found.status, found.output_text) == ("completed", "Hello there, dear friend.")


def test_another_thread_may_close_an_answer(here: clew.Clew, monkeypatch: pytest.MonkeyPatch):
    """Whoever waits for its next piece is told that none will come, though the answer goes on."""
    reading, submit = threading.Event(), here.submit

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await asyncio.Event().wait()

    def submitted(work: Any) -> Any:
        future = submit(work)
        reading.set()
        return future

    here.app = app
    client = Blocking(here)
    answer = client.ask()
    monkeypatch.setattr(here, "submit", submitted)
    closer = threading.Thread(target=lambda: reading.wait(10) and answer.close())
    closer.start()
    with pytest.raises(http.RemoteProtocolError):
        answer.next()
    closer.join()
    client.close()


def test_a_task_that_is_cancelled_leaves(here: clew.Clew):
    """Cancelling what waits for an answer tells the application."""
    begun, told = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        assert await receive() == {"type": "http.disconnect"}
        told.set()

    async def play() -> None:
        async with here.async_openai() as client:
            task = asyncio.create_task(client.models.list().__aiter__().__anext__())
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    here.app = app
    asyncio.run(play())
    assert told.wait(10)


# an application that fails


async def raises(scope: Any, receive: Receive, send: Send) -> None:
    raise ArithmeticError("the disk of the server")


async def raises_late(scope: Any, receive: Receive, send: Send) -> None:
    await send(HEAD)
    await send(piece(b"so far"))
    raise ArithmeticError("the disk of the server")


async def ends_early(scope: Any, receive: Receive, send: Send) -> None:
    await send(HEAD)
    await send(piece(b"so far"))


@pytest.mark.parametrize("app", [raises, raises_late, ends_early])
def test_an_answer_that_breaks_off_is_an_error(here: clew.Clew, client: Client, app: Any):
    """What came is given; then the client is told, with the reason where there is one."""
    here.app = app
    with pytest.raises(http.RemoteProtocolError) as broken:
        read_all(client)
    if app is not ends_early:
        assert isinstance(broken.value.__cause__, ArithmeticError)
    with pytest.raises(openai.APIConnectionError):
        both(client, lambda: client.openai.files.retrieve("file-x"))


def read_all(client: Client) -> None:
    answer = client.ask()
    assert answer.next() == b"so far"
    answer.next()


def test_a_failure_that_nobody_is_told_of_is_logged(
    here: clew.Clew, client: Client, caplog: pytest.LogCaptureFixture
):
    """An application that fails once its answer is complete, or its client gone."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(END)
        raise ArithmeticError("too late")

    here.app = app
    client.ask().rest()
    here.run(settle())
    assert "POST /v1/ask failed" in caplog.text
    assert "ArithmeticError: too late" in caplog.text


# time


async def never(scope: Any, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def never_ends(scope: Any, receive: Receive, send: Send) -> None:
    await send(HEAD)
    await send(piece(b"so far"))
    await never(scope, receive, send)


async def never_reads(scope: Any, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("app", [never, never_ends])
def test_a_late_answer_is_a_read_timeout(here: clew.Clew, client: Client, app: Any):
    """Before the head and after it; the time of a whole body is not limited."""
    here.app = app
    with pytest.raises(http.ReadTimeout):
        client.ask(timeout=http.Timeout(None, read=0.01)).rest()


def test_a_body_that_nobody_reads_is_a_write_timeout(here: clew.Clew, client: Client):
    """Not a read timeout: that is another setting."""
    here.app = never_reads
    with pytest.raises(http.WriteTimeout):
        client.ask(iter([b"x", b"y"]), timeout=http.Timeout(None, write=0.01))


def test_the_official_clients_timeout_counts(here: clew.Clew, client: Client):
    """It is raised as the error that the client has for it."""
    here.app = never
    with pytest.raises(openai.APITimeoutError):
        both(client, lambda: client.openai.with_options(timeout=0.01).files.retrieve("file-x"))


# the end


def test_closing_clew_ends_an_answer_that_does_not_end(here: clew.Clew, client: Client):
    """Whoever reads it is told, at once or when it asks; what is asked later is refused."""
    here.app = never_ends
    answer = client.ask()
    assert answer.next() == b"so far"
    closer = threading.Thread(target=here.close)
    closer.start()
    with pytest.raises(http.ReadError, match="This Clew is closed"):
        answer.next()
    closer.join()
    with pytest.raises(http.ReadError, match="This Clew is closed"):
        client.ask()
    with pytest.raises(openai.APIConnectionError):
        both(client, lambda: client.openai.files.retrieve("file-x"))


def test_closing_clew_ends_a_call_that_does_not_end(here: clew.Clew):
    """A call that waits in another thread gets a ClewError, and so does a later one."""
    waiting = here.submit(asyncio.Event().wait())
    cancelled = here.submit(asyncio.Event().wait())
    cancelled.cancel()
    here.close()
    assert isinstance(waiting.exception(10), ClewError)
    assert cancelled.cancelled()
    with pytest.raises(ClewError, match="This Clew is closed"):
        here.get_thread("proj_default", "x")


def test_a_clew_that_did_not_open_has_no_verbs():
    """It says so, where it once asked itself for ever."""
    it = clew.Clew.__new__(clew.Clew)
    with pytest.raises(ClewError):
        it.__init__("mysql://x", Catalog())  # type: ignore[misc]
    with pytest.raises(AttributeError, match="not open"):
        it.get_thread("proj_default", "x")
    assert not hasattr(copy.copy(clew.Clew.__new__(clew.Clew)), "append_items")
    it.close()


def test_all_this_holds_for_an_old_client(request: pytest.FixtureRequest):
    """A 1.x release, and the HTTP library it sits on."""
    if openai.VERSION < "3":
        pytest.skip("this is the old client")
    packages = releases.python_client(request.config.cache, releases.PYTHON[0])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env=releases.environment(packages),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
