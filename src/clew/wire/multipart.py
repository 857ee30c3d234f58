"""Multipart forms: text fields and one file, decoded as their bytes come in, never as a whole.

`feed` takes the body in whatever pieces the network gives and hands back the bytes of the file that
are in each; the other fields are small and are kept. Form bodies: RFC 7578.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from clew.core.errors import BadRequest
from clew.wire import refusals
from clew.wire.checks import Record, Text

FIELD_BYTES_MAX = 4_096
"""Of a text field: a purpose, a number."""

FIELDS_MAX = 16
FILENAME_MAX = 512

_EXTENDED = re.compile(r";\s*filename\*=utf-8'[^']*'([^;\s]+)", re.IGNORECASE)
"""What .NET sends beside a `filename` that it has mangled, if the name is not ASCII."""

_BROKEN = "Invalid body: failed to parse multipart form data. "
_UNSUPPORTED = (
    "Unsupported content type: '{0}'. This API method only accepts 'multipart/form-data' requests, "
    "but you specified the header 'Content-Type: {1}'. Please try again with a supported content "
    "type."
)


class FileBytes(Text):
    """The file among the fields of a form; `Form` has taken it out before fields are checked."""

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "binary"}


class Form:
    """One form as it comes. `file` is the name of the field with the file.

    `filename` is None until that began; `fields` are the others, in the order they came.
    """

    def __init__(self, content_type: str, file: str, spec: Record) -> None:
        self.fields: list[tuple[str, str]] = []
        self.filename: str | None = None
        self._file, self._spec = file, spec
        self._found: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._header = (bytearray(), bytearray())
        self._field: tuple[str, bytearray] | None = None
        self._ended = False
        self._parser = MultipartParser(_boundary(content_type), _callbacks(self))

    def feed(self, data: bytes) -> list[bytes]:
        """More of the body; what there is of the file in it."""
        self._found = []
        try:
            self._parser.write(data)
        except FormParserError:
            raise _broken("It does not follow RFC 7578.") from None
        return self._found

    def finish(self) -> None:
        """The body is over: it must have been whole, with the file in it."""
        if not self._ended:
            raise _broken("It ends before its last boundary.")
        if self.filename is None:
            raise BadRequest(f"'{self._file}' is a required property")

    # as the parser finds them

    def part_begin(self) -> None:
        self._headers = {}
        self._field = None

    def header_begin(self) -> None:
        self._header = (bytearray(), bytearray())

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)

    def headers_finished(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise _broken("A part of it has no name.")
        name = _text(options[b"name"])
        filename = _given_name(disposition, options.get(b"filename", b""))
        if name.partition("[")[0] not in self._spec.fields:
            raise refusals.unknown_parameter((name,), self._spec.fields)
        if name != self._file:
            self._begin_field(name)
        elif self.filename is not None:
            raise refusals.refuse((name,), f"Duplicate parameter: '{name}'.", "duplicate_parameter")
        elif not filename:  # a text field, or a form in which nobody has chosen a file
            raise BadRequest(f"'{name}' is a required property")
        else:
            self.filename = _filename(name, filename)

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._found.append(data[start:end])
            return
        name, value = self._field
        if len(value) + end - start > FIELD_BYTES_MAX:
            raise refusals.too_long((name,), "string", len(value) + end - start, FIELD_BYTES_MAX)
        value.extend(data[start:end])

    def part_end(self) -> None:
        if self._field is not None:
            name, value = self._field
            self.fields.append((name, _text(bytes(value))))

    def end(self) -> None:
        self._ended = True

    def _begin_field(self, name: str) -> None:
        if len(self.fields) == FIELDS_MAX:
            raise _broken(f"It has more than {FIELDS_MAX} fields.")
        self._field = (name, bytearray())


_EVENTS = """part_begin part_data part_end header_begin header_field header_value header_end
headers_finished end""".split()


def _callbacks(form: Form) -> Any:
    return {f"on_{event}": getattr(form, event) for event in _EVENTS}


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        shown = refusals.shown(content_type)
        message = _UNSUPPORTED.format(shown.partition(";")[0].strip(), shown)
        raise BadRequest(message, None, "unsupported_content_type")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise _broken("The Content-Type header has no boundary of 1 to 70 characters.")
    return boundary


def _given_name(disposition: str, filename: bytes) -> str:
    """The file's name as its client has it. Most write a quote as %22, as browsers do."""
    extended = _EXTENDED.search(disposition)
    return unquote(extended[1]) if extended else _text(filename).replace("%22", '"')


def _filename(field: str, name: str) -> str:
    """The name without the folders it came from; with nothing in it that is no text."""
    name = name.replace("\\", "/").rpartition("/")[2]
    check_filename(name, field)
    return name


def check_filename(name: str, field: str) -> None:
    """Raise BadRequest for a name that no file can have."""
    if not 0 < len(name) <= FILENAME_MAX or name in (".", ".."):
        problem = f"a file name has 1 to {FILENAME_MAX} characters and is not '.' or '..'."
        raise refusals.wrong_value((field,), problem)
    if not _printable(name):
        raise refusals.wrong_value((field,), "a file name has no control characters.")


def _printable(text: Iterable[str]) -> bool:
    return all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in text)


def _text(raw: bytes) -> str:
    """UTF-8, as RFC 7578 has it; else what older clients send."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _broken(how: str) -> BadRequest:
    return BadRequest(_BROKEN + how, None, "invalid_multipart")
