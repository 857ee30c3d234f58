"""A session: one interpreter in its sandbox, that remembers from one run of code to the next.

Nothing that comes out of it is trusted: answers are checked, output is bounded, files are bytes
that it sends and never looked for from outside. Its processes are watched while code runs; when it
has run, all but the interpreter are ended, and the interpreter is stopped until the next time.
A session that breaks a limit is over, with all that it remembered.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import struct
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from clew.core.files import PIECE_BYTES_MAX
from clew.tools.sandbox import processes
from clew.tools.sandbox.bubblewrap import Sandbox
from clew.tools.sandbox.limits import MIB, Limits
from clew.tools.sandbox.output import Output

START_S = 20.0
MARK_S = 2.0
"""How long output may come after the answer that ended it."""

FILES_S = 30.0
"""How long files may take on their way in or out, all of one call together."""

END_S = 10.0
WATCH_S = 0.1
HEAD_MAX = MIB
_FRAME = struct.Struct(">II")
_WRITABLE = ("/mnt/data", "/tmp", "/dev/shm")

Facts = tuple[int, int, int]
"""Of a file: bytes, time of change, inode."""


class Ended(Exception):
    """The session is over; says why, to whoever reads the output."""


class Answer(msgspec.Struct):
    """What a guest may say."""

    error: str | None = None
    facts: Facts | None = None
    files: list[tuple[str, int, int, int]] = []
    figures: list[int] = []


class Ran(msgspec.Struct):
    """What came of some code. `ended` says why the session is over, if it is."""

    output: str
    files: dict[str, Facts]
    figures: list[int]
    ended: str | None = None


log = logging.getLogger("clew.sandbox")

_decode = msgspec.json.Decoder(Answer).decode
_encode = msgspec.json.Encoder().encode


class Session:
    """Made by `start`; used by one caller at a time, in `awake`."""

    def __init__(self, process: Process, limits: Limits) -> None:
        self._process, self._limits = process, limits
        self._init = self._interpreter = 0
        self._holds: list[int] = []
        self._spare_s = FILES_S
        self.why: str | None = None

    @property
    def is_over(self) -> bool:
        return self.why is not None or self._process.returncode is not None

    @classmethod
    async def start(cls, sandbox: Sandbox, slot: int, limits: Limits) -> Session:
        """Raises Ended where no interpreter answers."""
        try:
            session = cls(await sandbox.start(slot, limits), limits)
        except OSError as error:
            raise Ended(f"bubblewrap cannot be started: {error}.") from None
        try:
            async with asyncio.timeout(START_S):
                await session._hear()
            session._find_processes()
        except TimeoutError:
            await session.end("The interpreter did not start.")
            raise Ended("The interpreter did not start.") from None
        except BaseException:
            await session.end("The interpreter did not start.")
            raise
        return session

    @asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        """The interpreter runs, and is watched; afterwards it is stopped, and alone. Raises Ended
        if it is over."""
        if self.is_over:
            raise self._over()
        self._spare_s = FILES_S
        self._signal(signal.SIGCONT)
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await self._stop()

    async def run(self, code: str) -> Ran:
        """Run it, for as long as it may; never raises because of what it does."""
        output = Output(secrets.token_hex(16).encode(), self._limits)
        answer = Answer()
        try:
            async with asyncio.timeout(self._limits.wall_s):
                answer = await self._said(code, output)
        except TimeoutError:
            self._break(f"The code ran longer than {self._limits.wall_s:g} seconds")
        except OSError:
            self._break("The interpreter no longer answers as it should")
        except Ended:
            pass
        await self._end_others()
        files: dict[str, Facts] = {path: (a, b, c) for path, a, b, c in answer.files}
        return Ran(output.text(), files, answer.figures, self.why)

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> Facts:
        """A file in /mnt/data. OSError where it has no room."""
        more, answer = False, Answer()
        async with self._hurried():
            async for piece in pieces:
                request = {"do": "write", "name": name, "more": more}
                answer, _ = await self._ask(request, piece)
                more = True
        return answer.facts or (0, 0, 0)

    async def read(self, kind: str, number: int, size: int) -> AsyncIterator[bytes]:
        """The bytes of a figure of the last run, or of a file of it: not more than `size`."""
        start = 0
        while start < size:
            length = min(PIECE_BYTES_MAX, size - start)
            what = {"kind": kind, "number": number, "start": start, "length": length}
            async with self._hurried():
                _, piece = await self._ask({"do": "read", "what": what})
            if not piece:
                return
            yield piece[:length]
            start += len(piece)

    async def end(self, why: str = "The session was ended") -> None:
        """Nothing of it is left when this returns."""
        self._break(why)
        process = self._process
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.close()
        gone = process.wait(), _discard(process.stdout), _discard(process.stderr)
        await asyncio.gather(*gone)
        await self._init_gone()

    async def _init_gone(self) -> None:
        """The first process inside goes last: the kernel lets it go when no other is left."""
        holds, self._holds = self._holds, []
        if not holds:
            return
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(holds[0], gone.set)
        try:
            async with asyncio.timeout(END_S):
                await gone.wait()
        except TimeoutError:
            log.error("a sandbox was killed and is still there: process %d", self._init)
        finally:
            loop.remove_reader(holds[0])
            for hold in holds:
                os.close(hold)

    async def _said(self, code: str, output: Output) -> Answer:
        """The answer of a run, when all that it printed is there too."""
        draining = asyncio.create_task(self._drain(output))
        try:
            answer, _ = await self._ask({"do": "run", "code": code, "mark": output.mark.decode()})
            done, _ = await asyncio.wait([draining], timeout=MARK_S)
            if not done or not output.is_whole:
                self._break("The code closed its output")
            return answer
        finally:
            draining.cancel()
            with suppress(asyncio.CancelledError):
                await draining

    async def _drain(self, output: Output) -> None:
        assert self._process.stdout
        while not output.is_whole:
            data = await self._process.stdout.read(65_536)
            if not data:
                return
            if not output.add(data):
                most = self._limits.flood_bytes // MIB
                self._break(f"The code printed more than {most} MiB")
                return

    async def _ask(self, request: dict[str, Any], data: bytes = b"") -> tuple[Answer, bytes]:
        """Raises Ended when the session is over, OSError for what the guest could not do."""
        assert self._process.stdin
        head = _encode(request)
        try:
            self._process.stdin.write(_FRAME.pack(len(head), len(data)) + head + data)
            await self._process.stdin.drain()
        except OSError:
            raise self._over() from None
        answer, data = await self._hear()
        if answer.error is not None:
            raise OSError(answer.error)
        return answer, data

    async def _hear(self) -> tuple[Answer, bytes]:
        assert self._process.stderr
        try:
            head, body = _FRAME.unpack(await self._process.stderr.readexactly(_FRAME.size))
            if head > HEAD_MAX or body > PIECE_BYTES_MAX:
                raise msgspec.DecodeError("too long")
            answer = _decode(await self._process.stderr.readexactly(head))
            return answer, await self._process.stderr.readexactly(body)
        except asyncio.IncompleteReadError:
            raise self._over() from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._break("The interpreter no longer answers as it should")
            raise self._over() from None

    def _over(self) -> Ended:
        self._break("The interpreter ended")
        return Ended(self.why)

    def _break(self, why: str) -> None:
        """End it at once, whatever it does: with bubblewrap goes all that is in the sandbox."""
        if self.why is None:
            self.why = why
        with suppress(ProcessLookupError):
            self._process.kill()

    def _find_processes(self) -> None:
        """bubblewrap outside starts the first process inside, and that the interpreter."""
        try:
            (self._init,) = processes.children(self._process.pid)
            (self._interpreter,) = processes.children(self._init)
            self._holds = [os.pidfd_open(pid) for pid in (self._init, self._interpreter)]
        except (ValueError, ProcessLookupError):
            raise Ended("The interpreter did not start.") from None

    @asynccontextmanager
    async def _hurried(self) -> AsyncIterator[None]:
        """What is done here takes from the time that files may take."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._spare_s):
                yield
        except TimeoutError:
            self._break("The interpreter no longer answers")
            raise self._over() from None
        finally:
            self._spare_s -= asyncio.get_running_loop().time() - began

    async def _stop(self) -> None:
        """Until the next time no thread of it runs."""
        await self._end_others()
        if not self.is_over:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._holds[1], number)

    async def _end_others(self) -> None:
        if not self.is_over and not await processes.end_all(self._init, self._interpreter):
            self._break("The code left processes that cannot be ended")

    async def _watch(self) -> None:
        """End the session when all its processes together use too much."""
        before = self._usage().cpu_s
        while not self.is_over:
            used = self._usage()
            used.cpu_s -= before
            broken = self._broken(used)
            if broken is not None:
                self._break(broken)
            await asyncio.sleep(WATCH_S)

    def _usage(self) -> processes.Usage:
        return processes.usage([self._init, *processes.below(self._init)])

    def _broken(self, used: processes.Usage) -> str | None:
        limits = self._limits
        if used.memory_bytes > limits.memory_bytes:
            return f"The code used more than {limits.memory_bytes // MIB} MiB of memory"
        if used.cpu_s > limits.cpu_s:
            return f"The code used more than {limits.cpu_s:g} seconds of CPU time"
        if used.tasks > 2 * limits.processes:  # the kernel refuses more; this is the second fence
            return f"The code had more than {limits.processes} processes and threads"
        if used.open_files > limits.open_files_in_all:
            return f"The code had more than {limits.open_files_in_all} files open"
        if any(processes.files_at(self._init, place) > limits.files for place in _WRITABLE):
            return f"The code made more than {limits.files} files"
        return None


async def _discard(stream: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await stream.read(65_536):
            pass
