"""What runs inside a sandbox: an interpreter that does what comes in at one pipe.

It is started as a script and imports nothing of Clew. Nothing outside trusts it: the code it runs
can change it at will. Requests come at standard input, answers leave at standard error, and what
code prints, by whatever way, is standard output. A message is two lengths, JSON and bytes.

- `write` puts bytes into a file of /mnt/data, `read` gives some of a file, or of a figure;
- `run` runs code as a prompt would: the value of a last expression is shown, so is a traceback. It
  ends what was printed with a mark, and answers with the figures and files that there are.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import json
import linecache
import os
import resource
import site
import stat
import struct
import sys
import traceback
import types
from typing import Any

DATA = "/mnt/data"
FRAME = struct.Struct(">II")
CPU_S = 3_600
"""CPU time of one process at all: what is left if nobody outside looks any more."""

LISTED_MAX, LISTED_BYTES_MAX = 1_000, 150_000
"""Files that are told of after a run, and bytes of their paths."""


class Channel:
    """The two pipes of the protocol, moved out of the way of the code that will run."""

    def __init__(self) -> None:
        self._requests, self._answers = os.dup(0), os.dup(2)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(1, 2)
        os.close(nothing)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next request. Raises EOFError when nobody is left to ask."""
        head, body = FRAME.unpack(self._read(FRAME.size))
        return json.loads(self._read(head)), self._read(body)

    def send(self, answer: dict[str, Any], data: bytes = b"") -> None:
        head = json.dumps(answer).encode()
        left = memoryview(FRAME.pack(len(head), len(data)) + head + data)
        while left:
            left = left[os.write(self._answers, left) :]

    def _read(self, size: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < size:
            piece = os.read(self._requests, size - len(pieces))
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)


class Interpreter:
    """One namespace, and the code that ran in it."""

    def __init__(self) -> None:
        main = types.ModuleType("__main__")
        main.__builtins__ = builtins  # type: ignore[attr-defined]
        sys.modules["__main__"] = main
        self._names = main.__dict__
        self._count = 0

    def run(self, code: str) -> None:
        self._count += 1
        name = f"<cell {self._count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        try:
            for part in _parts(code, name):
                exec(part, self._names)
        except SystemExit as ended:
            if ended.code not in (None, 0):
                print(f"SystemExit: {ended.code}")
        except BaseException as error:
            _show(error, name)


def _parts(code: str, name: str) -> list[types.CodeType]:
    """The code, and its last expression so that its value is shown."""
    tree = ast.parse(code, name)
    last: list[ast.stmt] = []
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = [tree.body.pop()]
    parts = [compile(tree, name, "exec")]
    return parts + ([compile(ast.Interactive(last), name, "single")] if last else [])


def _show(error: BaseException, name: str) -> None:
    """The traceback, from the code that was run on."""
    where = error.__traceback__
    while where is not None and where.tb_frame.f_code.co_filename != name:
        where = where.tb_next
    traceback.print_exception(type(error), error, where)


class Guest:
    def __init__(self) -> None:
        self._channel, self._interpreter = Channel(), Interpreter()
        self._output, self._pid = os.dup(1), os.getpid()
        self._files: list[bytes] = []
        self._figures: list[bytes] = []

    def serve(self) -> None:
        self._channel.send({})
        while True:
            request, data = self._channel.receive()
            try:
                self._do(request, data)
            except Exception as error:
                said = getattr(error, "strerror", None) or str(error)
                self._channel.send({"error": said})

    def _do(self, request: dict[str, Any], data: bytes) -> None:
        match request["do"]:
            case "run":
                self._run(request["code"], request["mark"])
            case "write":
                facts = _write(request["name"], data, more=request["more"])
                self._channel.send({"facts": facts})
            case "read":
                self._channel.send({}, self._read(**request["what"]))

    def _run(self, code: str, mark: str) -> None:
        for place in (1, 2):  # whatever the code before did with them
            os.dup2(self._output, place)
        self._interpreter.run(code)
        if os.getpid() != self._pid:  # the code forked, and this is not the one that answers
            os._exit(0)
        self._figures = _figures()
        found = _listed()
        self._files = [path for path, _ in found]
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        _write_all(self._output, mark.encode())
        files = [[_readable(path), *facts] for path, facts in found]
        self._channel.send({"files": files, "figures": [len(each) for each in self._figures]})

    def _read(self, kind: str, number: int, start: int, length: int) -> bytes:
        if kind == "figure":
            return self._figures[number][start : start + length]
        path = os.path.join(os.fsencode(DATA), self._files[number])
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.pread(opened, length, start)
        finally:
            os.close(opened)


def _write(name: str, data: bytes, *, more: bool) -> list[int]:
    """Put bytes into a file of that name, or `more` of them; [bytes, time of change, inode]."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    path = os.path.join(DATA, name)
    if not more and os.path.lexists(path):
        os.unlink(path)
    opened = os.open(path, flags | os.O_APPEND, 0o644)
    try:
        _write_all(opened, data)
        return _facts(os.fstat(opened))
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(opened)


def _write_all(opened: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(opened, left) :]


def _figures() -> list[bytes]:
    """What was drawn: shown, or left open. (`figures` is here under another name.)"""
    drawn = sys.modules.get("clew_figures")
    if drawn is None:
        return []
    try:
        return drawn.take()  # type: ignore[no-any-return]
    except Exception:
        traceback.print_exc()
        return []


def _listed() -> list[tuple[bytes, list[int]]]:
    """The regular files in /mnt/data: path, and [bytes, time of change, inode]."""
    found: list[tuple[bytes, list[int]]] = []
    folders = [os.fsencode(DATA)]
    while folders and len(found) < LISTED_MAX:
        folder = folders.pop(0)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    _sort(entry, found, folders)
        except OSError:
            continue
    found.sort()
    while sum(len(path) for path, _ in found) > LISTED_BYTES_MAX:
        found.pop()
    return found


def _sort(
    entry: os.DirEntry[bytes], found: list[tuple[bytes, list[int]]], folders: list[bytes]
) -> None:
    facts = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(facts.st_mode) and len(folders) < LISTED_MAX:
        folders.append(entry.path)
    elif stat.S_ISREG(facts.st_mode) and len(found) < LISTED_MAX:
        path = os.path.relpath(entry.path, os.fsencode(DATA))
        found.append((path, _facts(facts)))


def _facts(of: os.stat_result) -> list[int]:
    return [of.st_size, of.st_mtime_ns, of.st_ino]


def _readable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def limit(memory: int, processes: int, open_files: int, file_size: int) -> None:
    """Take what the kernel counts for each process; nothing gives it back."""
    limits = {
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_AS: memory + 2**31,
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_STACK: 8 * 2**20,
        resource.RLIMIT_SIGPENDING: 1_000,
    }
    for name, most in limits.items():
        hard = resource.getrlimit(name)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (most, most))
    os.nice(19)
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def main() -> None:
    limit(*(int(value) for value in sys.argv[1:5]))
    sys.argv = [""]
    sys.path += ["/opt/packages", "/opt/clew", DATA]
    site.setquit()
    site.sethelper()
    os.chdir(DATA)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    try:
        Guest().serve()
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main()
