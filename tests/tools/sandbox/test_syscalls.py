"""The filter of system calls, read as a kernel reads it: also for machines that are not here."""

from __future__ import annotations

import errno
import struct

import pytest

from clew.tools.sandbox.syscalls import architecture_known, filter_for

X86_64, AARCH64 = 0xC000003E, 0xC00000B7
AUDIT = {"x86_64": X86_64, "aarch64": AARCH64}
ALLOWED, KILLED = 0x7FFF0000, 0x80000000


def refused(error: int) -> int:
    return 0x00050000 | error


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the filter says of a call: classic BPF, as much of it as the filter uses."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, audit or AUDIT[machine], 0, *values)
    program = list(struct.iter_unpack("=HBBI", filter_for(machine)))
    place = value = 0
    while True:
        code, if_true, if_false, k = program[place]
        place += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, k)
            case 0x54:
                value &= k
            case 0x15:
                place += if_true if value == k else if_false
            case 0x35:
                place += if_true if value >= k else if_false
            case 0x06:
                return k


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [
        ("x86_64", {"mount": 165, "ptrace": 101, "unshare": 272, "bpf": 321, "memfd_create": 319}),
        ("aarch64", {"mount": 40, "ptrace": 117, "unshare": 97, "bpf": 280, "memfd_create": 279}),
    ],
)
def test_dangerous_calls_are_refused(machine: str, numbers: dict[str, int]):
    """They answer EPERM, wherever in the filter they stand."""
    assert {name: verdict(machine, n) for name, n in numbers.items()} == dict.fromkeys(
        numbers, refused(errno.EPERM)
    )


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [("x86_64", [0, 1, 3, 59, 60, 231, 257, 202]), ("aarch64", [63, 64, 57, 221, 93, 94, 56, 98])],
)
def test_ordinary_calls_are_allowed(machine: str, numbers: list[int]):
    """read, write, close, execve, exit, exit_group, openat and futex."""
    assert {verdict(machine, number) for number in numbers} == {ALLOWED}


@pytest.mark.parametrize(("machine", "clone", "mmap"), [("x86_64", 56, 9), ("aarch64", 220, 222)])
def test_some_calls_depend_on_their_arguments(machine: str, clone: int, mmap: int):
    """Threads and forks are allowed, namespaces are not; nor is memory that is nobody's."""
    thread, fork, user, network = 0x3D0F00, 17, 0x10000000, 0x40000000
    assert [verdict(machine, clone, flags) for flags in (thread, fork)] == [ALLOWED] * 2
    for flags in (user, network | fork, user | network | thread):
        assert verdict(machine, clone, flags) == refused(errno.EPERM)
    assert verdict(machine, 435) == refused(errno.ENOSYS)
    private, shared, anonymous = 0x02, 0x01, 0x20
    assert verdict(machine, mmap, 0, 1, 3, private | anonymous) == ALLOWED
    assert verdict(machine, mmap, 0, 1, 3, shared) == ALLOWED
    assert verdict(machine, mmap, 0, 1, 3, shared | anonymous) == refused(errno.EPERM)
    assert verdict(machine, mmap, 0, 1, 3, 0x03 | anonymous) == refused(errno.EPERM)


@pytest.mark.parametrize(("machine", "numbers"), [("x86_64", (41, 53)), ("aarch64", (198, 199))])
def test_only_local_sockets_are_allowed(machine: str, numbers: tuple[int, int]):
    """AF_UNIX and no other family, by `socket` and by `socketpair`."""
    for number in numbers:
        assert verdict(machine, number, 1) == ALLOWED
        found = {verdict(machine, number, family) for family in (0, 2, 10, 16, 17, 38, 40, 44)}
        assert found == {refused(errno.EAFNOSUPPORT)}


def test_other_ways_into_the_kernel_are_closed():
    """A call in another machine's manner kills; x86_64's second numbering is refused."""
    assert verdict("x86_64", 20, audit=0x40000003) == KILLED
    assert verdict("aarch64", 20, audit=0x40000028) == KILLED
    assert verdict("x86_64", 0x40000000 + 1) == refused(errno.ENOSYS)


def test_other_machines_are_not_known():
    """Where there is no filter there is no sandbox."""
    assert [architecture_known(name) for name in ("x86_64", "aarch64", "riscv64")] == [
        True,
        True,
        False,
    ]
