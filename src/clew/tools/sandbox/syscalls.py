"""The system calls that a sandbox refuses, as a filter for the kernel (seccomp, classic BPF).

Namespaces, an unprivileged user and limits are the walls; this takes away what reaches around
them. Memory that belongs to no process is refused, since nobody could count it; and sockets other
than local ones: not every kind knows of network namespaces (VSOCK), and what they hold is counted
for the whole machine (TCP). The rest is what no data analysis needs and kernels have had their
holes in.
"""

from __future__ import annotations

import errno
import struct

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> how the kernel names it, and the column of its numbers."""

_REFUSED = {
    # other processes and namespaces
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "unshare": (272, 97), "setns": (308, 268), "personality": (135, 92),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
    # memory that belongs to no process
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # file systems
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "fanotify_init": (300, 262),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    # the kernel itself
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142),
    "syslog": (103, 116), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161),
    "setdomainname": (171, 162), "vhangup": (153, 58), "vmsplice": (278, 75),
    "nfsservctl": (180, 42), "lookup_dcookie": (212, 18),
    # only x86_64 has these
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "uselib": (134, None), "_sysctl": (156, None),
}  # fmt: skip
"""Name -> its number on x86_64 and on aarch64."""

_CLONE, _CLONE3, _MMAP, _SOCKETS = (56, 220), (435, 435), (9, 222), ((41, 198), (53, 199))

_NEW_NAMESPACES = 0x7E020000
"""The flags of `clone` that ask for a new namespace of any kind."""

_SHARED_ANONYMOUS = 0x01 | 0x20
"""Flags of `mmap`: MAP_SHARED and MAP_ANONYMOUS."""

_AF_UNIX = 1

_X32 = 0x40000000
"""Calls of x86_64's other ABI have numbers from here on."""

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH, _ARGS = 0, 4, 16


def architecture_known(machine: str) -> bool:
    return machine in _ARCHITECTURES


def filter_for(machine: str) -> bytes:
    """The filter for a machine as `os.uname` names it."""
    audit, column = _ARCHITECTURES[machine]
    program = [
        _op(_LOAD, _ARCH),
        _op(_EQUAL, audit, 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NR),
    ]
    if machine == "x86_64":
        program += [_op(_AT_LEAST, _X32, 0, 1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    for numbers in _REFUSED.values():
        program += _refuse(numbers[column], errno.EPERM)
    program += _refuse(_CLONE3[column], errno.ENOSYS)  # its flags are out of a filter's sight
    program += _masked(_CLONE[column], 0, _NEW_NAMESPACES, any_bit=True)
    program += _masked(_MMAP[column], 3, _SHARED_ANONYMOUS, any_bit=False)
    for numbers in _SOCKETS:
        program += _only_local(numbers[column])
    return b"".join([*program, _op(_RETURN, _ALLOW)])


def _op(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)


def _refuse(number: int | None, error: int) -> list[bytes]:
    if number is None:
        return []
    return [_op(_EQUAL, number, 0, 1), _op(_RETURN, _ERRNO | error)]


def _masked(number: int, argument: int, mask: int, *, any_bit: bool) -> list[bytes]:
    """Refuse a call where any bit of the mask is set in an argument, or all of them are."""
    found = [_op(_EQUAL, 0, 1, 0)] if any_bit else [_op(_EQUAL, mask, 0, 1)]
    rule = [
        _op(_LOAD, _ARGS + 8 * argument),
        _op(_AND, mask),
        *found,
        _op(_RETURN, _ERRNO | errno.EPERM),
        _op(_LOAD, _NR),
    ]
    return [_op(_EQUAL, number, 0, len(rule)), *rule]


def _only_local(number: int) -> list[bytes]:
    """Refuse a socket of any family but AF_UNIX."""
    rule = [
        _op(_LOAD, _ARGS),
        _op(_EQUAL, _AF_UNIX, 1, 0),
        _op(_RETURN, _ERRNO | errno.EAFNOSUPPORT),
        _op(_LOAD, _NR),
    ]
    return [_op(_EQUAL, number, 0, len(rule)), *rule]
