"""Having a document read: a process is started for it, listened to, and ended, however it goes.

The process sees the document, and neither the environment, which may hold keys, nor anything that
was opened here.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from clew.tools.documents.child import HEADER_BYTES
from clew.tools.documents.limits import FRAME_BYTES_MAX, WALL_S
from clew.tools.formats import Unreadable, invalid, too_much

_BOOT = """
import json, sys, types
path, root, format = json.loads(sys.argv[1])
sys.path[:] = path
door = types.ModuleType("clew")
door.__path__ = [root]
sys.modules["clew"] = door
from clew.tools.documents.child import main
main(format)
"""
"""Clew's front door brings the whole server with it, which takes ten times as long to import as
what is needed here; so the room is entered past it."""

_ROOT = Path(__file__).resolve().parents[2]


async def read(file: IO[bytes], format: str) -> AsyncGenerator[str, None]:
    """The text of a document, bit by bit; no more of it is read than is asked for.

    Raises Unreadable when it has none that can be had, whatever that did to its reader.
    """
    loop, waited = asyncio.get_running_loop(), 0.0
    async with _reader(file, format) as process:
        while True:
            begun = loop.time()
            try:
                async with asyncio.timeout(WALL_S - waited):
                    kind, payload = await _frame(process)
            except TimeoutError:
                raise _too_long() from None
            waited += loop.time() - begun
            if kind == b".":
                return
            if kind == b"e":
                code, _, message = payload.decode().partition("\n")
                raise Unreadable(code, message)
            if kind == b"x":
                raise RuntimeError(f"the reader of a document failed:\n{payload.decode()}")
            yield payload.decode()


def spool() -> IO[bytes]:
    """A file without a name that only its owner can read, gone when it is closed."""
    return tempfile.TemporaryFile(prefix="clew-")


@asynccontextmanager
async def _reader(file: IO[bytes], format: str) -> AsyncIterator[asyncio.subprocess.Process]:
    file.flush()
    file.seek(0)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _BOOT, _place(format)),
        stdin=file,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        limit=2 * FRAME_BYTES_MAX,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


def _place(format: str) -> str:
    path = [entry for entry in sys.path if entry]
    return json.dumps([path, str(_ROOT), format])


async def _frame(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    try:
        header = await process.stdout.readexactly(HEADER_BYTES)
        length = int.from_bytes(header[1:], "big")
        if length > FRAME_BYTES_MAX:
            raise RuntimeError("the reader of a document says what it cannot")
        return header[:1], await process.stdout.readexactly(length)
    except asyncio.IncompleteReadError:
        status = await process.wait()
    if status == -signal.SIGXCPU:
        raise _too_long()
    if status == -signal.SIGKILL:  # the system has none left
        raise too_much()
    if status >= 0:
        raise RuntimeError(f"the reader of a document ended with status {status}")
    raise invalid("The file is damaged: reading it failed.")


def _too_long() -> Unreadable:
    return invalid("The file takes too long to read.")
