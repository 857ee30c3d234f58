"""Server-sent events, read as they arrive: bytes in, the `data` of whole events out.

Follows the HTML standard, section 9.2.6: a blank line ends an event, `data` lines of one event are
joined by a newline, lines that start with a colon are comments, CR, LF and CRLF all end a line. An
event that the stream's end cuts off is not an event. Names, ids and retry hints are not needed to
read a model and are skipped.
"""

from __future__ import annotations

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""A longer event is no model's answer but a server gone wild: refuse it, don't fill the memory."""


class EventTooLong(Exception):
    """One event is longer than `EVENT_BYTES_MAX`."""


class EventReader:
    """Turns pieces of a byte stream, cut anywhere, into the data of its events."""

    def __init__(self) -> None:
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[str]:
        """The data of every event this piece completes."""
        events = []
        for line in self._lines(piece):
            if line:
                self._take(line)
            elif self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data, self._size = [], 0
        return events

    def _lines(self, piece: bytes) -> list[bytes]:
        if not piece:
            return []
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        if not (b"\n" in piece or b"\r" in piece):
            self._tail += piece
            self._measure(len(self._tail))
            return []
        *lines, tail = _split(bytes(self._tail) + piece)
        self._tail = bytearray(tail)
        if self._at_start:
            lines[0], self._at_start = lines[0].removeprefix(b"\xef\xbb\xbf"), False
        return lines

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
            self._measure(self._size)

    def _measure(self, size: int) -> None:
        if size > EVENT_BYTES_MAX:
            raise EventTooLong(f"an event is longer than {EVENT_BYTES_MAX} bytes")


def _split(text: bytes) -> list[bytes]:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
