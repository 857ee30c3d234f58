"""The servers under load: each a process of its own, stopped when its block is left."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

Process = subprocess.Popen[str]
STOP_S = 30
READY = re.compile(r"clew listening on (http://\S+)\n")


class Server(msgspec.Struct, frozen=True):
    """A process that answers at `url`."""

    url: str
    pid: int

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The decoded answer to a POST of JSON."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, msgspec.json.encode(body), headers)
        with urllib.request.urlopen(request) as answer:
            return msgspec.json.decode(answer.read())

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.read()


def bare_environment() -> dict[str, str]:
    """This environment without settings of Clew's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}


def clew_command(store: str, port: int = 0) -> list[str]:
    return [sys.executable, "-m", "clew", "serve", "--store", store, "--port", str(port)]


@contextmanager
def process(command: Sequence[str], folder: Path, **options: Any) -> Iterator[Process]:
    """A process in `folder`, its errors in `errors.log` there; ended on the way out."""
    with (folder / "errors.log").open("a") as errors:
        options = {"env": bare_environment(), "stderr": errors, "text": True} | options
        running = subprocess.Popen(command, cwd=folder, **options)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(STOP_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def listening(command: Sequence[str], folder: Path, **options: Any) -> Iterator[Server]:
    """A server that says where it listens, as `clew serve` does."""
    with process(command, folder, stdout=subprocess.PIPE, **options) as running:
        said = running.stdout.readline() if running.stdout else ""
        found = READY.fullmatch(said)
        if found is None:
            log = (folder / "errors.log").read_text()[-2000:]
            raise RuntimeError(f"{' '.join(command)} said {said!r}, not where it listens.\n{log}")
        yield Server(found[1], running.pid)


def clew(store: str, folder: Path) -> Any:
    """`clew serve` on that store."""
    return listening(clew_command(store), folder)


def bare(folder: Path, *arguments: str) -> Any:
    """The bare endpoint, under Clew's own server settings."""
    here = str(Path(__file__).parents[1])
    environment = bare_environment() | {"PYTHONPATH": here}
    return listening([sys.executable, "-m", "bench.bare", *arguments], folder, env=environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(port: int, path: str = "/healthz", *, seconds_max: float = 60) -> None:
    """Ask again and again until the answer is 200."""
    deadline = time.monotonic() + seconds_max
    while not is_healthy(port, path):
        if time.monotonic() > deadline:
            raise RuntimeError(f"Nothing healthy on port {port} in {seconds_max} s.")
        time.sleep(0.001)


def is_healthy(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: clew\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def resident_mb(pid: int) -> float:
    """Resident memory of a process, as Linux accounts for it."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status names no resident memory.")
    return int(found[1]) * 1024 / 1e6
