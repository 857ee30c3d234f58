"""A sandbox built by bubblewrap: a place with a Python, a folder, and nothing else.

What is in it is mounted at neutral paths, read-only: the system's /usr, the interpreter that Clew
runs on, and the packages beside numpy. It has processes, a network and a host name of its own, an
empty environment, no capabilities, and the filter of `syscalls`. When our process dies, it dies.

Who we are decides how it begins. As root, bubblewrap needs no user namespace: the code is handed to
a user that owns nothing, a different one for each session, so that the kernel counts its processes.
As anyone else it gets a user namespace, in which no other one can be made.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from pathlib import Path

from clew.tools.sandbox.limits import Limits
from clew.tools.sandbox.syscalls import architecture_known, filter_for

FIRST_UID = 65_000
"""Users from here on belong to nobody: Debian keeps them free, and small user namespaces have
them."""

PROBE_S = 20.0

_OWN_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""What becoming another user takes; none is left afterwards."""

_SYSTEM = ("/lib", "/lib32", "/lib64", "/bin", "/sbin")
_SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts")
_PLACES = ("/dev", "/etc", "/mnt", "/opt", "/opt/clew")
"""Where things are mounted: open to all, as what bubblewrap makes by itself is not."""

_DEVICES = ("null", "random", "urandom")
"""Not `zero`: memory mapped from it belongs to no process. Not `ptmx`, `tty`: nobody looks on."""

_ENVIRONMENT = {
    "HOME": "/tmp",  # fonts keep their cache there
    "LANG": "C.UTF-8",
    "LD_LIBRARY_PATH": "/opt/python/lib",
    "MALLOC_ARENA_MAX": "2",
    "MPLBACKEND": "module://clew_figures",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/opt/python/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TZ": "UTC",
    "USER": "sandbox",
}

_PROBE = """
import os, threading
facts = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert int(facts["CapEff"], 16) == 0, "it keeps capabilities"
assert int(facts["Seccomp"]) == 2, "it filters no system calls"
assert os.getpid() < 9, "it shows processes"
assert len(open("/proc/net/dev").readlines()) == 3, "it shows the network"
assert not os.path.exists("/etc/shadow"), "it shows files"
thread = threading.Thread(target=os.getpid)
thread.start()
thread.join()
os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
print("works")
"""
"""What one sandbox must be able to say before code of a model runs in any."""

_HERE = Path(__file__).parent


class Sandbox:
    """How sandboxes are made here; one for each session, `slot` being a number of its own."""

    def __init__(self, limits: Limits | None = None, bwrap: str = "bwrap") -> None:
        self.limits = limits or Limits()
        self._bwrap = bwrap
        self._works = False

    async def problem(self) -> str | None:
        """Why code cannot run here, for whoever can change it; None when a sandbox really ran."""
        if self._works:
            return None
        found = self.missing()
        if found is None:
            found = await self._probe()
        self._works = found is None
        return found

    async def start(self, slot: int, limits: Limits | None = None) -> Process:
        """A sandbox whose guest speaks at the pipes. Call it where the event loop runs: the
        sandbox ends with the thread that made it."""
        limits = limits or self.limits
        memory, tasks, files = limits.memory_bytes, limits.processes, limits.open_files
        guest = ["-I", "-S", "-B", "/opt/clew/guest.py", memory, tasks, files, limits.data_bytes]
        return await self._spawn(slot, limits, *map(str, guest))

    async def _spawn(self, slot: int, limits: Limits, *arguments: str) -> Process:
        reading, writing = os.pipe()
        try:
            os.write(writing, filter_for(platform.machine()))
            os.close(writing)
            command = [shutil.which(self._bwrap) or self._bwrap, *_walls(limits)]
            command += [*_user(slot), "--seccomp", str(reading), "--", *_become(slot)]
            return await asyncio.create_subprocess_exec(
                *(*command, _interpreter(), *arguments),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env={"PATH": os.defpath},  # pid 1 of the sandbox shows what it was started with
                cwd="/",
                pass_fds=(reading,),
                start_new_session=True,  # Ctrl-C is for the server, which ends it in its own time
            )
        finally:
            os.close(reading)

    def missing(self) -> str | None:
        """What there is not of what a sandbox needs, without trying it."""
        if sys.platform != "linux" or not architecture_known(platform.machine()):
            return "code_interpreter needs Linux on x86_64 or aarch64."
        if shutil.which(self._bwrap) is None:
            return (
                "code_interpreter needs bubblewrap, and there is no 'bwrap' here. "
                "Install the package 'bubblewrap' (apt-get install bubblewrap)."
            )
        if not Path("/proc/1/task/1/children").exists():
            return "code_interpreter needs a kernel that lists children (CONFIG_PROC_CHILDREN)."
        return None

    async def _probe(self) -> str | None:
        """Run one sandbox: see that it has its walls, and that a thread and a process run in it."""
        try:
            process = await self._spawn(0, self.limits, "-I", "-S", "-B", "-c", _PROBE)
        except OSError as found:
            return f"code_interpreter cannot start bubblewrap: {found}."
        try:
            async with asyncio.timeout(PROBE_S):
                output, error = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
            output, error = b"", b"it did not answer"
        if output == b"works\n":
            return None
        said = " ".join(error.decode("utf-8", "replace").split())[:500]
        return (
            f"code_interpreter needs a sandbox, and none starts here: {said}. Install the package "
            "'bubblewrap' (0.8 or newer); in a container, allow user namespaces."
        )


def _walls(limits: Limits) -> Iterator[str]:
    """What every sandbox has, and has not."""
    yield from "--unshare-pid --unshare-net --unshare-ipc --unshare-uts".split()
    yield from "--unshare-cgroup-try --hostname sandbox --die-with-parent --new-session".split()
    yield from "--clearenv --cap-drop ALL".split()
    for name, value in _ENVIRONMENT.items():
        yield from ("--setenv", name, value)
    for place in _PLACES:
        yield from ("--dir", place)
    yield from _system()
    yield from _python()
    yield from ("--proc", "/proc")
    for device in _DEVICES:
        yield from ("--dev-bind", f"/dev/{device}", f"/dev/{device}")
    yield from ("--symlink", "/proc/self/fd", "/dev/fd")
    for place in ("/tmp", "/dev/shm"):
        yield from ("--perms", "1777", "--size", str(limits.scratch_bytes), "--tmpfs", place)
    yield from ("--perms", "0777", "--size", str(limits.data_bytes), "--tmpfs", "/mnt/data")
    yield from ("--chdir", "/mnt/data", "--remount-ro", "/")


def _system() -> Iterator[str]:
    """The system's programs and libraries; older systems have some of them beside /usr."""
    yield from ("--ro-bind", "/usr", "/usr")
    for place in _SYSTEM:
        if os.path.islink(place):
            yield from ("--symlink", os.readlink(place), place)
        elif os.path.isdir(place):
            yield from ("--ro-bind", place, place)
    for place in _SETTINGS:
        yield from ("--ro-bind-try", place, place)


def _python() -> Iterator[str]:
    """The interpreter (unless it is the system's), packages, and what of ours runs inside."""
    if sys.base_prefix != "/usr":
        yield from ("--ro-bind", sys.base_prefix, "/opt/python")
    packages = importlib.util.find_spec("numpy")
    if packages is not None and packages.origin is not None:
        yield from ("--ro-bind", str(Path(packages.origin).parents[1]), "/opt/packages")
    yield from ("--ro-bind", str(_HERE / "guest.py"), "/opt/clew/guest.py")
    yield from ("--ro-bind", str(_HERE / "figures.py"), "/opt/clew/clew_figures.py")


def _interpreter() -> str:
    """Where our own interpreter is inside."""
    ours = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    if sys.base_prefix == "/usr":
        return str(ours)
    return str("/opt/python" / ours.relative_to(os.path.realpath(sys.base_prefix)))


def _user(slot: int) -> list[str]:
    if os.geteuid() == 0:
        return [part for name in _OWN_CAPABILITIES for part in ("--cap-add", name)]
    user = str(FIRST_UID + slot)
    return ["--unshare-user", "--disable-userns", "--uid", user, "--gid", user]


def _become(slot: int) -> list[str]:
    """As root: become a user that owns nothing, for good. `setpriv` is part of every system."""
    if os.geteuid() != 0:
        return []
    user = str(FIRST_UID + slot)
    keep = ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    return ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", *keep, "--"]
