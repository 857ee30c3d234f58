"""What the processes of a sandbox use, counted from outside, where code cannot lie about it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import msgspec

_TICKS = os.sysconf("SC_CLK_TCK")
_MEMORY = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
_STAT_TIMES = slice(11, 15)
"""In /proc/PID/stat, after the name: user, system, and both of children that have ended."""

_ROUNDS_MAX, _ROUND_S = 100, 0.01


class Usage(msgspec.Struct):
    """Of some processes together. Memory that two of them share is counted twice."""

    tasks: int = 0
    open_files: int = 0
    memory_bytes: int = 0
    cpu_s: float = 0.0


def children(pid: int) -> list[int]:
    """The processes that the threads of this one started; none if it is gone."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def below(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    found: list[int] = []
    left = children(pid)
    while left:
        found += left
        left = [child for each in left for child in children(each)]
    return found


def usage(pids: list[int]) -> Usage:
    total = Usage()
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            _add(total, pid)
    return total


async def end_all(root: int, spare: int) -> bool:
    """Kill what is below `root` but for one; whether only that one is left."""
    for _ in range(_ROUNDS_MAX):
        others = [pid for pid in below(root) if pid != spare and not _is_dead(pid)]
        if not others:
            return True
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(_ROUND_S)
    return False


def files_at(pid: int, place: str) -> int:
    """How many files and folders a file system has that this process sees."""
    with suppress(OSError):
        facts = os.statvfs(f"/proc/{pid}/root{place}")
        return facts.f_files - facts.f_ffree
    return 0


def _add(total: Usage, pid: int) -> None:
    times = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    total.cpu_s += sum(map(int, times[_STAT_TIMES])) / _TICKS
    total.open_files += len(os.listdir(f"/proc/{pid}/fd"))
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(_MEMORY):
            total.memory_bytes += int(line.split()[1]) * 1024
        elif line.startswith(b"Threads:"):
            total.tasks += int(line.split()[1])


def _is_dead(pid: int) -> bool:
    with suppress(OSError):
        return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] in (b"Z", b"X")
    return True


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
