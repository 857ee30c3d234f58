"""Server-sent events, read as they arrive: bytes in, the `data` of whole events out.

Follows the HTML standard, section 9.2.6: a blank line ends an event, `data` lines of one event are
joined by a newline, lines that start with a colon are comments, CR, LF and CRLF all end a line. An
event that the stream's end cuts off is not an event. Names, ids and retry hints are not needed to
read a model and are skipped.

Every token of every stream goes through here, so the common forms of an event are cut out whole.
"""

from __future__ import annotations

EVENT_BYTES_MAX = 64 * 1024 * 1024
"""A longer event is no model's answer (images come whole, as base64) but a server gone wild:
refuse it, don't fill the memory."""


class EventTooLong(Exception):
    """One event is longer than `EVENT_BYTES_MAX`."""


class EventReader:
    """Turns pieces of a byte stream, cut anywhere, into the data of its events."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []  # the event that is not whole yet
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event this piece completes."""
        if self._at_start or self._after_cr or b"\r" in piece:
            piece = self._plain(piece)
        if b"\n" not in piece:
            self._keep(piece)
            return []
        if self._begun:
            piece = b"".join((*self._begun, piece))
        *events, rest = piece.split(b"\n\n")
        self._begun, self._size = [], 0
        self._keep(rest)
        return [data for event in events if (data := _data(event)) is not None]

    def end(self) -> list[bytes]:
        """Nothing: an event that the stream's end cuts off is not an event."""
        return []

    def _plain(self, piece: bytes) -> bytes:
        """The piece with LF for every line end, and without the mark a stream may begin with."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if self._at_start and sum(map(len, self._begun)) + len(piece) >= 3:
            piece = b"".join((*self._begun, piece)).removeprefix(b"\xef\xbb\xbf")
            self._begun, self._size, self._at_start = [], 0, False
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return piece

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._begun.append(rest)
            self._size += len(rest)
            if self._size > EVENT_BYTES_MAX:
                raise EventTooLong(f"an event is longer than {EVENT_BYTES_MAX} bytes")


class WholeReader:
    """Stands in for `EventReader` where the body is one JSON document."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        self._body += piece
        if len(self._body) > EVENT_BYTES_MAX:
            raise EventTooLong(f"an answer is longer than {EVENT_BYTES_MAX} bytes")
        return []

    def end(self) -> list[bytes]:
        """The document."""
        return [bytes(self._body)]


def reader_for(first: bytes) -> EventReader | WholeReader:
    """Servers lie about the type of what they send; its first byte does not."""
    return WholeReader() if first.lstrip()[:1] == b"{" else EventReader()


def _data(event: bytes) -> bytes | None:
    """The data of one event; None when it has none."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    if event.startswith(b"event: "):
        at = event.find(b"\ndata: ")
        if at > 0 and event.find(b"\n", at + 1) < 0 and event.find(b"\n", 0, at) < 0:
            return event[at + 7 :]
    fields = (line.partition(b":") for line in event.split(b"\n"))
    values = [value.removeprefix(b" ") for name, _, value in fields if name == b"data"]
    return b"\n".join(values) if values else None
