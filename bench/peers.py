"""The libraries Clew is compared with, each in a venv of its own, made at the first run and kept.

A peer's program (folder `peer/`) runs in its venv and measures what it is told to, one JSON line at
a time, so that its runs can be interleaved with ours.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from bench.servers import process

INSTALL_S = 600
PROGRAMS = Path(__file__).parent / "peer"


class Unavailable(Exception):
    """The peer cannot be installed here; the text says why."""


class Peer(msgspec.Struct, frozen=True):
    """A library of that version, and the program in `peer/` that drives it."""

    name: str
    program: str
    packages: tuple[str, ...]


AGENTS = Peer("openai-agents 0.24.0 SQLiteSession", "agents_session.py", ("openai-agents==0.24.0",))
LANGGRAPH = Peer(
    "LangGraph 1.2.22 SqliteSaver 3.1.2",
    "langgraph_saver.py",
    ("langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2"),
)


class Asked:
    """A running program of a peer."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests, self._answers = requests, answers

    def measure(self, **how: Any) -> float:
        """What the peer measured when told so."""
        self._requests.write(msgspec.json.encode(how).decode() + "\n")
        self._requests.flush()
        said = self._answers.readline()
        if not said:
            raise RuntimeError("The peer's program ended; see errors.log.")
        return float(said)


@contextmanager
def running(peer: Peer, venvs: Path, folder: Path) -> Iterator[Asked]:
    """The peer's program on a database in `folder`. Unavailable when it cannot be installed."""
    python = installed(peer, venvs)
    command = [str(python), str(PROGRAMS / peer.program), str(folder / f"{peer.program}.db")]
    with process(command, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        yield Asked(program.stdin, program.stdout)


def installed(peer: Peer, venvs: Path) -> Path:
    """The interpreter of the peer's venv, which is filled if it is not there yet."""
    venv = venvs.resolve() / peer.program.removesuffix(".py")
    python, done = venv / "bin" / "python", venv / "installed"
    wanted = "\n".join(peer.packages)
    if not done.exists() or done.read_text() != wanted:
        venvs.mkdir(parents=True, exist_ok=True)
        (venvs / ".gitignore").write_text("*\n")
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv))
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--no-input"]
        _run(*pip, "install", "--quiet", *peer.packages)
        done.write_text(wanted)
    return python


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        raise Unavailable((error.stderr or error.stdout).strip().splitlines()[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from error
