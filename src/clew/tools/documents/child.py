"""The process that reads one document: its standard input, and nothing else of the machine.

It says frames: a letter, the length of what follows in four bytes, and that. `t` is text, `e` the
reason why there is none (a code, a line end, a message), `x` a fault of ours, `.` the end. Without
one of the last three it did not end by its own will.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator

from clew.tools.documents import docx, limits, pdf, pptx, xlsx
from clew.tools.documents.archive import Archive
from clew.tools.documents.office import Package
from clew.tools.formats import Unreadable, invalid, too_much, unsupported

HEADER_BYTES = 5
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_OFFICE = {"docx": docx.read, "pptx": pptx.read, "xlsx": xlsx.read}


def main(format: str) -> None:
    """Read the document on standard input, and say it on standard output."""
    _limit()
    try:
        for text in _texts(format):
            _say(b"t", text.encode())
        _say(b".")
    except Unreadable as found:
        _say(b"e", f"{found.code}\n{found.message}".encode())
    except MemoryError:
        refusal = too_much()
        _say(b"e", f"{refusal.code}\n{refusal.message}".encode())
    except BrokenPipeError:
        pass  # nobody wants it any more
    except Exception:
        _say(b"x", traceback.format_exc()[-limits.FRAME_BYTES_MAX // 4 :].encode())
    # nothing to tidy up, and what a document did to a native library could fall over in doing so
    os._exit(0)


def _limit() -> None:
    """Take what the system lets a process give up. macOS does not keep to the limit of memory."""
    try:
        import resource
    except ImportError:  # Windows
        return
    os.nice(10)
    for what, most, last in (
        (resource.RLIMIT_AS, limits.MEMORY_BYTES, limits.MEMORY_BYTES),
        (
            resource.RLIMIT_CPU,
            limits.CPU_S,
            limits.CPU_S + 1,
        ),  # told by its own signal, then killed
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        try:
            resource.setrlimit(what, (most, last))
        except (ValueError, OSError):
            continue


def _texts(format: str) -> Iterator[str]:
    """The text, bit by bit; none is longer than a frame may be."""
    came = 0
    for text in _read(format):
        came += len(text)
        if came > limits.CHARACTERS_MAX:
            raise invalid("The file has more text than may be read.")
        clean = _NOT_TEXT.sub("", text)
        step = limits.FRAME_BYTES_MAX // 4
        for start in range(0, len(clean), step):
            yield clean[start : start + step]


def _read(format: str) -> Iterator[str]:
    if format == "PDF":
        return pdf.read(sys.stdin.buffer)
    if format == "ZIP":
        package = Package(Archive(sys.stdin.buffer))
        return _OFFICE[package.format](package)
    raise unsupported(f"Files in this format ({format}) are not supported.")


def _say(kind: bytes, payload: bytes = b"") -> None:
    sys.stdout.buffer.write(kind + len(payload).to_bytes(4, "big") + payload)
    sys.stdout.buffer.flush()
