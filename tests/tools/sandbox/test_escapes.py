"""Code that wants out, or wants everything: it gets nowhere, and the others notice nothing.

Each test says what it tries. They hold for a server that runs as root and for one that runs as an
ordinary user: `test_ordinary_user.py` runs them again as one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import msgspec
import pytest

from clew.tools.sandbox import processes
from clew.tools.sandbox.limits import MIB
from clew.tools.sandbox.session import Session
from tests.tools.sandbox.driving import TIGHT, play, run, said, session, stalls

pytestmark = pytest.mark.usefixtures("bubblewrap")

SECRET = "abracadabra-of-the-server"


def tries(code: str) -> str:
    """Code that tries an expression and prints what came of it: a value, or the error's name."""
    return f"""
try:
    print("GOT", repr({code}))
except BaseException as error:
    print(type(error).__name__, error)
"""


# the network


def test_no_service_of_the_host_can_be_reached(tmp_path: Path):
    """TCP, UDP and Unix sockets of this host, by path or by abstract name, are not there."""
    heard: list[bytes] = []

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(b"a connection")
        writer.close()

    async def test() -> None:
        loop = asyncio.get_running_loop()
        tcp = await asyncio.start_server(greet, "0.0.0.0", 0)
        port = tcp.sockets[0].getsockname()[1]
        local = await asyncio.start_unix_server(greet, tmp_path / "socket")
        hidden = await asyncio.start_unix_server(greet, f"\0clew-test-{os.getpid()}")
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 0))
        udp.setblocking(False)
        listening = asyncio.create_task(loop.sock_recv(udp, 100))
        own = socket.gethostbyname(socket.gethostname())
        code = "import socket\n"
        for host in {"127.0.0.1", own, "10.0.0.1"}:
            code += tries(f"socket.create_connection(('{host}', {port}), 1)")
            code += tries(
                "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
                f".sendto(b'x', ('{host}', {udp.getsockname()[1]}))"
            )
        for name in (str(tmp_path / "socket"), f"\0clew-test-{os.getpid()}"):
            code += tries(f"socket.socket(socket.AF_UNIX).connect({name!r})")
        output = await said(code)
        assert "GOT <socket" not in output
        assert output.count("Address family not supported by protocol") >= 4
        assert not listening.done()
        assert heard == []
        listening.cancel()
        udp.close()
        for server in (tcp, local, hidden):
            server.close()

    play(test)


@pytest.mark.parametrize(
    "code",
    [
        "socket.getaddrinfo('example.com', 80)",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)",
        "socket.socket(40, socket.SOCK_STREAM).connect((2, 22))",
        "socket.socket(38, socket.SOCK_SEQPACKET)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "__import__('urllib.request').request.urlopen('http://169.254.169.254/', timeout=2)",
    ],
)
def test_there_is_no_network(code: str):
    """Names do not resolve, and sockets that see past the network namespace are refused."""

    async def test() -> None:
        output = await said("import socket\n" + tries(code))
        assert "GOT" not in output
        assert "Error" in output or "error" in output

    play(test)


def test_there_is_no_interface_but_a_loopback():
    """The network namespace is the sandbox's own, whatever sockets it could make."""
    code = "print([line.split(':')[0].strip() for line in open('/proc/net/dev')][2:])"

    async def test() -> None:
        assert await said(code) == "['lo']"

    play(test)


# files and secrets of the host


def test_no_file_of_the_host_can_be_read(tmp_path: Path):
    """Accounts, homes, the database, the server's own files and other folders are not there."""
    database = tmp_path / "clew.db"
    database.write_text(SECRET)
    places = ["/etc/shadow", "/etc/passwd", "/root", "/home", "/var", "/run", "/sys", "/boot"]
    places += [str(database), str(tmp_path), os.getcwd(), os.path.abspath("src"), "/dev/mem"]
    places += ["/proc/1/root/etc/shadow", "/proc/1/cwd/etc/shadow", "/proc/kcore", "/oldroot"]
    code = "import os\n" + "".join(
        tries(
            f"os.listdir({place!r}) if os.path.isdir({place!r}) else open({place!r}, 'rb').read(9)"
        )
        for place in places
    )

    async def test() -> None:
        output = await said(code)
        assert "GOT" not in output
        assert len(output.splitlines()) == len(places)

    play(test)


def test_nothing_of_the_server_is_seen(monkeypatch: pytest.MonkeyPatch):
    """Neither its environment, arguments, memory nor open files: only the sandbox's processes."""
    monkeypatch.setenv("CLEW_SECRET", SECRET)
    code = """
import glob, os
found = []
for pattern in ('environ', 'cmdline', 'task/*/environ', 'maps', 'fd/*', 'mem'):
    for path in glob.glob(f'/proc/[0-9]*/{pattern}'):
        try:
            found.append(os.readlink(path) if '/fd/' in path else open(path, 'rb').read())
        except OSError:
            pass
text = repr(found)
print('abracadabra' in text, 'pytest' in text, 'CLEW' in text, len(glob.glob('/proc/[0-9]*')))
print(sorted(os.environ), os.getppid() in (0, 1))
"""

    async def test() -> None:
        first, second = (await said(code)).splitlines()
        assert first in ("False False False 2", "False False False 3")
        assert "'HOME', 'LANG'" in second
        assert "CLEW" not in second
        assert second.endswith("True")

    play(test)


def test_what_is_mounted_cannot_be_written():
    """System, interpreter, packages, /proc and the root are read-only; so stays the host."""
    places = [
        "/x",
        "/usr/x",
        "/usr/bin/x",
        "/opt/python/x",
        "/opt/packages/x",
        "/opt/clew/guest.py",
    ]
    places += ["/etc/x", "/dev/x", "/mnt/x", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"]
    code = "import os\n" + "".join(tries(f"open({place!r}, 'a').write('x')") for place in places)
    code += tries("os.chmod('/opt/clew/guest.py', 0o777)") + tries("os.remove('/usr/bin/env')")

    async def test() -> None:
        output = await said(code)
        assert "GOT" not in output
        assert len(output.splitlines()) == len(places) + 2

    play(test)


def test_sessions_do_not_see_each_other():
    """Files, processes, sockets and shared memory of one session are not in another."""

    async def test() -> None:
        async with session() as first, session() as second, first.awake():
            leave = """
import os, socket
for place in ('/mnt/data', '/tmp', '/dev/shm'):
    open(place + '/secret.txt', 'w').write('abracadabra')
server = socket.socket(socket.AF_UNIX); server.bind('\\0meet'); server.listen()
"""
            assert (await first.run(leave)).ended is None
            look = "import os, socket\n"
            look += "print([os.listdir(p) for p in ('/mnt/data', '/tmp', '/dev/shm')])\n"
            look += tries("socket.socket(socket.AF_UNIX).connect('\\0meet')")
            found = (await run(second, look)).output.splitlines()
            assert found == [
                "[[], [], []]",
                "ConnectionRefusedError [Errno 111] Connection refused",
            ]

    play(test)


# privileges


def test_no_privilege_is_left_or_to_be_had():
    """No capability, no way back to root, no setuid, and no_new_privs for good."""
    code = """
import os
facts = dict(line.replace('\\t', '').strip().split(':', 1) for line in open('/proc/self/status'))
print([facts[name] for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')])
print(facts['NoNewPrivs'], facts['Seccomp'], os.getuid() >= 65000)
"""
    for call in ("setuid(0)", "setresuid(0, 0, 0)", "setgid(0)", "setgroups([0])"):
        code += tries(f"os.{call}")
    code += tries("os.setuid(os.getuid() + 1)")

    async def test() -> None:
        lines = (await said(code)).splitlines()
        assert lines[:2] == [str(["0" * 16] * 5), "1 2 True"]
        assert len(lines) == 7
        assert all(line.startswith("PermissionError") or "Errno 22" in line for line in lines[2:])

    play(test)


_CALLS = {
    "mount": 165, "umount2": 166, "unshare": 272, "setns": 308, "chroot": 161, "pivot_root": 155,
    "ptrace": 101, "process_vm_writev": 311, "memfd_create": 319, "shmget": 29, "bpf": 321,
    "io_uring_setup": 425, "userfaultfd": 323, "keyctl": 250, "open_by_handle_at": 304,
    "fsopen": 430, "perf_event_open": 298, "init_module": 175, "clone3": 435,
    "mount through the other ABI": 0x40000000 + 165,
}  # fmt: skip


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
def test_system_calls_that_reach_around_the_walls_are_refused():
    """Mounting, new namespaces, tracing, nameless memory and the kernel's own are not allowed."""
    code = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    for name, number in _CALLS.items():
        code += f"print({name!r}, libc.syscall({number}, 0, 0, 0, 0, 0), ctypes.get_errno())\n"
    for flag in (0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x04000000):
        code += f"print('clone', libc.syscall(56, {flag} | 17, 0, 0, 0, 0), ctypes.get_errno())\n"

    async def test() -> None:
        lines = (await said(code)).splitlines()
        assert len(lines) == len(_CALLS) + 5
        assert [line for line in lines if not line.endswith((" -1 1", " -1 38"))] == []

    play(test)


def test_no_program_of_the_system_helps():
    """unshare, mount, su and nested bubblewrap fail inside as anything else does."""
    code = "import subprocess\n"
    commands = ["unshare -Ur id", "unshare -n true", "mount -t tmpfs x /tmp", "su -c id"]
    commands += ["bwrap --unshare-all --ro-bind / / id", "nsenter -t 1 -a id", "chroot / id"]
    for command in commands:
        shell = f"PATH=$PATH:/usr/sbin:/sbin; {command} >/dev/null 2>&1"
        code += f"print(subprocess.run({shell!r}, shell=True).returncode != 0)\n"

    async def test() -> None:
        assert (await said(code)).splitlines() == ["True"] * len(commands)

    play(test)


def test_other_processes_cannot_be_harmed():
    """Signals reach the sandbox's own processes alone, and not even the first of them."""
    code = """
import os, signal
for pid in [1, *range(100, 3000)]:
    try:
        os.kill(pid, signal.SIGKILL)
        print('sent', pid)
    except OSError:
        pass
print('done')
"""

    async def test() -> None:
        async with session() as other, session() as started:
            sent = (await run(started, code)).output.splitlines()
            assert sent in (["done"], ["sent 1", "done"])
            assert (await run(started, "'alive'")).output == "'alive'\n"
            assert (await run(other, "'alive'")).output == "'alive'\n"

    play(test)


# what comes back


def test_links_and_odd_files_are_never_followed():
    """Links, pipes, sockets and devices in /mnt/data are no files; nothing outside is opened."""
    code = """
import os, socket
for number, target in enumerate(['/etc/shadow', '/proc/self/environ', '/usr/bin/env', '..']):
    os.symlink(target, f'link-{number}')
os.symlink('/usr', 'folder')
os.mkfifo('pipe')
socket.socket(socket.AF_UNIX).bind('socket')
os.mkdir('deep'); os.symlink('/', 'deep/up'); open('deep/real.txt', 'w').write('real')
os.link('deep/real.txt', 'same')
"""

    async def test() -> None:
        async with session() as started, started.awake():
            found = await started.run(code)
            assert (found.output, list(found.files)) == ("", ["deep/real.txt", "same"])
            with pytest.raises(OSError, match="out of range"):
                await _read(started, 99)

    play(test)


def test_a_file_that_became_a_link_is_not_read():
    """Between the look and the read a file is swapped for a link, which is not followed."""
    code = """
import os, threading, time
open('a.txt', 'w').write('real')
def swap():
    time.sleep(0.2)
    os.remove('a.txt')
    os.symlink('/usr/bin/env', 'a.txt')
threading.Thread(target=swap).start()
"""

    async def test() -> None:
        async with session() as started, started.awake():
            found = await started.run(code)
            assert list(found.files) == ["a.txt"]
            assert await _read(started, 0) == b"real"
            await asyncio.sleep(0.5)
            with pytest.raises(OSError, match="symbolic links"):
                await _read(started, 0)

    play(test)


async def _read(session: Session, number: int) -> bytes:
    return b"".join([piece async for piece in session.read("file", number, 100)])


def test_odd_names_do_no_harm():
    """Names of 255 bytes, with newlines, controls or no UTF-8, are told in letters."""
    code = """
import os
for name in (b'n' * 255, b'new\\nline', b'\\x1b[31m', b'\\xff\\xfe', b'-rf', b'$(id)'):
    open(name, 'w').write('x')
"""

    async def test() -> None:
        files = (await _ran(code)).files
        assert len(files) == 6
        assert {"n" * 255, "new\nline", "\\xff\\xfe"} <= set(files)

    play(test)


def test_many_long_paths_are_told_in_part():
    """However many files there are, and however long their paths, the call ends as usual."""
    code = """
import os
for _ in range(3):
    os.mkdir('d' * 255); os.chdir('d' * 255)
for number in range(900):
    open(f'{number:0250}', 'w').close()
os.chdir('/mnt/data')
"""

    async def test() -> None:
        found = await _ran(code)
        assert (found.output, found.ended) == ("", None)
        assert 50 < len(found.files) < 200

    play(test)


async def _ran(code: str):
    async with session() as started:
        return await run(started, code)


@pytest.mark.parametrize(
    "rubbish",
    [
        "os.write(fd, b'\\xff' * 100)",
        "os.write(fd, b'\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x00{}' * 50)",
        "os.write(fd, struct.pack('>II', 4, 0) + b'null')",
        "os.write(fd, struct.pack('>II', 2**31, 2**31))",
        "os.write(fd, struct.pack('>II', 14, 0) + b'{\"files\": [[]]}'[:14])",
        "os.close(fd)",
        "os.dup2(os.open('/dev/null', 2), fd)",
    ],
)
def test_a_guest_that_speaks_rubbish_is_ended_or_heard(rubbish: str):
    """Whatever is written into the pipes, or closed: the call ends in time, and others go on."""
    code = f"""
import os, struct
for fd in map(int, os.listdir('/proc/self/fd')):
    try:
        {rubbish}
    except OSError:
        pass
"""

    async def test() -> None:
        limits = msgspec.structs.replace(TIGHT, wall_s=3)
        async with session() as other:
            async with session(limits) as started:
                began = time.monotonic()
                found = await run(started, code)
                assert time.monotonic() - began < 6
                assert found.ended is None or "interpreter" in found.ended or "code" in found.ended
            assert (await run(other, "'alive'")).output == "'alive'\n"

    play(test)


# everything, all of it

FORKS = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
DEAF = """
import signal, os
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    try:
        while True: pass
    except BaseException: pass
"""
MEMORY = "kept = []\nwhile True: kept.append(bytearray(10_000_000))"
SHARED_OUT = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        kept = [bytearray(os.urandom(1000) * 100_000)]
        time.sleep(100)
time.sleep(100)
"""
THREADS = """
import threading, time
while True:
    try: threading.Thread(target=time.sleep, args=(100,)).start()
    except RuntimeError: time.sleep(0.01)
"""
DAEMONS = """
import os
for _ in range(10):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: pass
        os._exit(0)
while True: pass
"""
OUTPUT = "line = 'x' * 2**20\nfor _ in range(1024): print(line)"
RAW_OUTPUT = "import os\nos.system('yes')"
EMPTY_FILES = "for number in range(10**6): open(f'/tmp/{number}', 'w').close()"
FOLDERS = "import os\nwhile True:\n    os.mkdir('d'); os.chdir('d')"
DESCRIPTORS = """
import os, socket, time
kept = []
for _ in range(30):
    if os.fork() == 0:
        while True:
            try:
                pair = socket.socketpair()
                kept.append(pair)
                pair[0].setblocking(False)
                while True: pair[0].send(b'x' * 65536)
            except OSError: time.sleep(0.001)
time.sleep(100)
"""

BOMBS = {
    "forks": (FORKS, "ran longer|CPU time"),
    "a loop that is deaf": (DEAF, "ran longer"),
    "memory": (MEMORY, "MemoryError|ran longer"),
    "memory of many": (SHARED_OUT, "memory"),
    "threads": (THREADS, "ran longer"),
    "daemons": (DAEMONS, "ran longer|CPU time"),
    "1 GB of output": (OUTPUT, "printed more than 64 MiB"),
    "endless output": (RAW_OUTPUT, "printed more than 64 MiB"),
    "a million files": (EMPTY_FILES, "more than 1000 files"),
    "folders without end": (FOLDERS, "more than 1000 files"),
    "descriptors": (DESCRIPTORS, "more than 300 files open"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_harms_nobody_else(name: str):
    """It is ended, nothing of it is left, and meanwhile another session and the loop answer."""
    code, expected = BOMBS[name]

    async def test() -> None:
        # one bomb is to be ended by its memory, however slow the machine
        limits = msgspec.structs.replace(TIGHT, wall_s=20 if name == "memory of many" else 2)
        async with session() as other, session(limits) as bad, stalls() as late:
            running = asyncio.create_task(run(bad, code))
            slowest, most, memory = 0.0, 0, 0
            while not running.done():
                began = time.perf_counter()
                assert (await run(other, "6 * 7")).output == "42\n"
                slowest = max(slowest, time.perf_counter() - began)
                inside = processes.usage(processes.below(bad._process.pid))
                most, memory = max(most, inside.tasks), max(memory, inside.memory_bytes)
                await asyncio.sleep(0.02)
            found = await running
            left = processes.below(bad._process.pid)
        figures = (max(late), slowest, most, memory // MIB)
        print("stall {:.3f} s, other {:.3f} s, {} tasks, {} MiB".format(*figures))
        told = found.output[-200:] + (found.ended or "")
        assert any(words in told for words in expected.split("|")), told
        assert found.ended is None or all(processes._is_dead(pid) for pid in left)
        assert most <= limits.processes + 3
        assert memory < limits.memory_bytes + 400 * MIB
        assert max(late) < 0.5
        assert slowest < 2.5

    play(test)


_FILL = """
import mmap, os, resource
def fill(path):
    with open(path, 'ab', 0) as file:
        for _ in range(1024):
            if file.write(bytes(2**20)) < 2**20:
                file.write(b'x')
"""


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('big', 'wb').truncate(2**30)", "OSError [Errno 27] File too large"),
        (
            "[f := open('big', 'wb'), [f.write(bytes(2**20)) for _ in range(1024)]]",
            "OSError [Errno",
        ),
        (
            "[open('/tmp/big', 'ab', 0).write(bytes(2**20)) for _ in range(64)][16:]",
            "OSError [Errno",
        ),
        ("[open(f'/dev/shm/{n}', 'ab').write(bytes(2**20)) for n in range(64)]", "OSError [Errno"),
        ("bytearray(2**30)", "MemoryError"),
        ("mmap.mmap(-1, 2**20)", "PermissionError"),
        ("mmap.mmap(-1, 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)", "OSError [Errno 12]"),
        ("os.memfd_create('x')", "PermissionError"),
        ("open('/dev/zero')", "FileNotFoundError"),
        ("[open('/dev/null') for _ in range(100)]", "OSError [Errno 24] Too many open files"),
        ("[resource.setrlimit(n, (-1, -1)) for n in range(10)]", "ValueError"),
        ("os.nice(-10)", "PermissionError"),
        ("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(9))", "PermissionError"),
    ],
)
def test_there_is_no_more_than_the_limits(code: str, error: str):
    """What asks for more is told so by the kernel, and the session goes on."""

    async def test() -> None:
        async with session() as started:
            found = await run(started, _FILL + tries(code))
            assert found.output.startswith(error)
            assert (await run(started, "1")).output == "1\n"

    play(test)


def test_a_session_that_is_ended_is_gone():
    """When `end` returns no process of the sandbox is left, whatever it was at."""

    async def test() -> None:
        started: Session
        async with session() as started:
            running = asyncio.create_task(run(started, DEAF))
            await asyncio.sleep(0.3)
            inside = processes.below(started._process.pid)
            assert len(inside) == 2
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert all(processes._is_dead(pid) for pid in inside)

    play(test)
