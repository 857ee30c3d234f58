"""XML of strangers, as events, piece by piece.

A document type is refused before anything in it is read, and with it every entity: none can
expand, none can be fetched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from xml.parsers import expat

from clew.tools.documents.limits import NESTING_MAX
from clew.tools.formats import invalid


class Reader(Protocol):
    """Told of elements by their local names, and of attributes; those that name a relation of the
    part begin with `r:`."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...


def read(pieces: Iterable[bytes], reader: Reader) -> Iterable[None]:
    """Tell the reader of the XML, a piece with each step."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > NESTING_MAX:
            raise invalid("The file's XML is nested too deeply.")
        reader.start(_local(name), {_attribute(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        reader.end(_local(name))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.buffer_text = True
    try:
        for piece in pieces:
            parser.Parse(piece, False)
            yield
        parser.Parse(b"", True)
    except expat.ExpatError:
        raise invalid("The file's XML is not well-formed.") from None
    yield


def read_all(pieces: Iterable[bytes], reader: Reader) -> None:
    for _ in read(pieces, reader):
        pass


def _refuse(*_: object) -> None:
    raise invalid("The file's XML has a document type, which is not accepted.")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _attribute(name: str) -> str:
    space, _, local = name.rpartition(" ")
    return f"r:{local}" if space.endswith("/relationships") else local
