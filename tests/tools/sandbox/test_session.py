"""A session is a prompt that remembers: values, tracebacks, figures, files, and its limits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from clew.tools.sandbox import Limits, Sandbox, processes
from clew.tools.sandbox import bubblewrap as bubblewrap_module
from clew.tools.sandbox.limits import MIB
from clew.tools.sandbox.session import Ended, Session
from tests.tools.sandbox.driving import TIGHT, play, ran, run, said, session

pytestmark = pytest.mark.usefixtures("bubblewrap")

ROOMY = Limits(wall_s=50)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("1 + 1", "2"),
        ("x = 3\nx * 2", "6"),
        ("None", ""),
        ("x = 3", ""),
        ("print('a'); 'b'", "a\n'b'"),
        ("", ""),
        ("# nothing", ""),
        ("import sys; print('ö', file=sys.stderr)", "ö"),
        ("import os; os.system('echo from a shell') and None", "from a shell\n0"),
        ("import os; os.write(1, b'raw')", "raw3"),
        ("print('\\ud800')", "\\ud800"),
        ("exit()", ""),
        ("exit('over')", "SystemExit: over"),
        ("__name__", "'__main__'"),
        ("import pickle\nclass A: pass\ntype(pickle.loads(pickle.dumps(A()))) is A", "True"),
        ("import sys; sys.stdout.buffer.write(b'a\\x00b'); None", "a\ufffdb"),
    ],
)
def test_code_runs_as_at_a_prompt(code: str, output: str):
    """What is printed, by whatever way, and the value of a last expression are the output."""

    async def test() -> None:
        assert await said(code) == output

    play(test)


def test_a_traceback_is_output_and_shows_only_the_code():
    """An exception leaves a traceback with the lines that were run, and the session goes on."""

    async def test() -> None:
        async with session() as started:
            failed = await run(started, "def f():\n    return 1 / 0\nf()")
            wrong = await run(started, "x = = 1")
            after = await run(started, "f")
        assert failed.ended is None
        assert failed.output.startswith('Traceback (most recent call last):\n  File "<cell 1>"')
        assert "    return 1 / 0\n" in failed.output
        assert failed.output.endswith("ZeroDivisionError: division by zero\n")
        assert "guest.py" not in failed.output
        assert wrong.output.endswith("SyntaxError: invalid syntax\n")
        assert after.output.startswith("<function f at")

    play(test)


def test_a_session_remembers():
    """Variables, imports, `_` and files outlive the call that made them."""

    async def test() -> None:
        async with session() as started:
            await run(started, "import json\nx = {'a': 1}\nopen('kept.txt', 'w').write('text')")
            assert (await run(started, "json.dumps(x)")).output == "'{\"a\": 1}'\n"
            assert (await run(started, "_")).output == "'{\"a\": 1}'\n"
            assert (await run(started, "open('/mnt/data/kept.txt').read()")).output == "'text'\n"

    play(test)


def test_threads_and_processes_do_not_outlive_their_call():
    """When a call is done its processes are gone, and the interpreter's threads stand still."""
    code = """
import os, threading, time
count = [0]
def grow():
    while True:
        count[0] += 1
        time.sleep(0.001)
threading.Thread(target=grow, daemon=True).start()
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        time.sleep(1000)
print('started')
"""

    async def test() -> None:
        async with session() as started:
            assert (await run(started, code)).output == "started\n"
            inside = processes.below(started._init)
            assert [pid for pid in inside if not processes._is_dead(pid)] == [started._interpreter]
            before = int((await run(started, "count[0]")).output)
            used = processes.usage([started._interpreter]).cpu_s
            await asyncio.sleep(0.3)
            assert processes.usage([started._interpreter]).cpu_s == used
            after = int((await run(started, "count[0]")).output)
            assert after - before < 250, "the thread ran on while nobody called"

    play(test)


def test_figures_come_back_as_pictures():
    """What plt.show() shows, and what is left open, is a PNG each, once."""

    async def test() -> None:
        async with session(ROOMY) as started:
            shown = (
                "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()\nplt.figure(); None"
            )
            first = await run(started, shown)
            second = await run(started, "1")
            third = await run(started, "plt.plot([3]); None")
            async with started.awake():
                sizes = [size async for size in _sizes(started, third.figures)]
        assert (first.output, len(first.figures), second.figures) == ("", 2, [])
        assert sizes == [(third.figures[0], b"\x89PNG")]

    play(test)


async def _sizes(session: Session, figures: list[int]) -> AsyncIterator[tuple[int, bytes]]:
    for number, size in enumerate(figures):
        data = b"".join([piece async for piece in session.read("figure", number, size)])
        yield len(data), data[:4]


def test_the_usual_packages_are_there():
    """numpy, pandas and matplotlib of Clew's own environment work inside."""
    code = """
import numpy as np, pandas as pd
frame = pd.DataFrame({'a': np.arange(4), 'b': list('xyxy')})
frame.to_csv('table.csv', index=False)
print(pd.read_csv('table.csv').groupby('b').a.sum().to_dict(), np.linalg.inv(np.eye(50)).sum())
"""

    async def test() -> None:
        assert await said(code, ROOMY) == "{'x': 2, 'y': 4} 50.0"

    play(test)


def test_files_go_in_and_out():
    """Bytes written into /mnt/data arrive whole, and what code writes can be read in pieces."""
    data = os.urandom(700_000)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 200_000):
            yield data[start : start + 200_000]

    async def test() -> None:
        async with session() as started, started.awake():
            facts = await started.write("in.bin", pieces())
            made = await started.run(
                "import os; os.mkdir('sub')\nfound = open('in.bin', 'rb').read()\n"
                "open('sub/out.bin', 'wb').write(found[::-1])"
            )
            assert list(made.files) == ["in.bin", "sub/out.bin"]
            assert made.files["in.bin"] == facts
            found = [piece async for piece in started.read("file", 1, made.files["sub/out.bin"][0])]
            assert b"".join(found) == data[::-1]
            with pytest.raises(OSError, match="No space left on device"):
                await started.write("big", _large(40))
            assert list((await started.run("")).files) == ["in.bin", "sub/out.bin"]

    play(test)


async def _large(mebibytes: int) -> AsyncIterator[bytes]:
    for _ in range(4 * mebibytes):
        yield bytes(MIB // 4)


@pytest.mark.parametrize(
    ("code", "limits", "why"),
    [
        ("while True: pass", {"wall_s": 1}, "The code ran longer than 1 seconds"),
        ("import time; time.sleep(99)", {"wall_s": 1}, "The code ran longer than 1 seconds"),
        ("while True: pass", {"cpu_s": 1}, "The code used more than 1 seconds of CPU time"),
        ("print('x' * 2**22)", {"flood_bytes": MIB}, "The code printed more than 1 MiB"),
        ("import os; os._exit(1)", {}, "The interpreter ended"),
        ("import os; os.kill(os.getpid(), 9)", {}, "The interpreter ended"),
        ("import ctypes; ctypes.string_at(0)", {}, "The interpreter ended"),
    ],
)
def test_a_broken_limit_ends_the_session(code: str, limits: dict, why: str):
    """The session is over at once, says why, keeps what was printed, and answers no more."""

    async def test() -> None:
        tight = msgspec.structs.replace(TIGHT, **limits)
        async with session(tight) as started:
            found = await run(started, "print('before')\n" + code)
            assert (found.output[:7], found.ended) == ("before\n", why)
            with pytest.raises(Ended, match=why):
                await run(started, "1")

    play(test)


def test_output_is_cut_and_says_so():
    """The beginning of much output is kept, and how much is left out is said."""

    async def test() -> None:
        limits = msgspec.structs.replace(TIGHT, output_bytes=1_000)
        found = await ran("print('ä' * 5_000)", limits)
        assert found.output == "ä" * 500 + "\n[9001 bytes more were printed and are left out]\n"
        assert found.ended is None

    play(test)


def test_the_loop_that_serves_runs_sessions_too():
    """uvloop, on which the server runs, starts and ends them as asyncio's own loop does."""

    async def test() -> list[str]:
        async with session() as started:
            first = await run(started, "x = 6 * 7\nx")
            broken = await run(started, "import os; os._exit(0)")
            return [first.output, str(broken.ended)]

    assert uvloop.run(test()) == ["42\n", "The interpreter ended"]


def test_a_killed_server_leaves_nothing_behind():
    """When the process that holds a session is killed, everything in its sandbox dies with it."""
    program = """
import asyncio, sys
from clew.tools.sandbox import Sandbox, processes
from clew.tools.sandbox.session import Session
async def main():
    sandbox = Sandbox()
    started = await Session.start(sandbox, 390, sandbox.limits)
    async with started.awake():
        running = asyncio.create_task(started.run(
            "import os\\nfor _ in range(5): os.fork()\\nwhile True: pass"))
        while len(processes.below(started._init)) < 32:
            await asyncio.sleep(0.01)
        print(*processes.below(started._process.pid), flush=True)
        await running
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as server:
        assert server.stdout
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) > 32
        server.send_signal(signal.SIGKILL)
        server.wait()

    async def test() -> None:
        while not all(processes._is_dead(pid) for pid in pids):
            await asyncio.sleep(0.02)

    play(test, timeout_s=10)


def test_a_machine_without_bubblewrap_is_told_what_is_missing():
    """Without bwrap the sandbox says which package to install, and nothing is run."""

    async def test() -> None:
        problem = await Sandbox(bwrap="no-such-bwrap").problem()
        assert problem is not None
        assert "apt-get install bubblewrap" in problem
        assert await Sandbox().problem() is None

    play(test)


def test_a_bubblewrap_that_does_not_work_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A bwrap that fails, or that runs the code without walls, is a problem; its words are told."""
    refuses = "echo 'No permissions to create new namespace' >&2; exit 1"
    no_walls = f"exec {sys.executable} -c '{bubblewrap_module._PROBE}'"
    hangs = "exec sleep 1000"

    async def problem_of(script: str) -> str:
        broken = tmp_path / "bwrap"
        broken.write_text(f"#!/bin/sh\n{script}\n")
        broken.chmod(0o755)
        return await Sandbox(bwrap=str(broken)).problem() or ""

    async def test() -> None:
        assert "No permissions to create new namespace" in await problem_of(refuses)
        assert "AssertionError: it " in await problem_of(no_walls)
        monkeypatch.setattr(bubblewrap_module, "PROBE_S", 0.1)
        assert "it did not answer" in await problem_of(hangs)

    play(test)
