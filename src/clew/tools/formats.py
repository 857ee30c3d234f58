"""What a file is, by how it begins; its name may say otherwise."""

from __future__ import annotations

HEAD = 512
"""Bytes that tell the encoding and the format."""

DOCUMENTS = {b"%PDF-": "PDF", b"PK\x03\x04": "ZIP"}
"""Documents that `documents` reads: PDF, and the archives that DOCX, PPTX and XLSX are."""

_UNREAD = {
    b"\xd0\xcf\x11\xe0": "DOC, PPT, XLS, or encrypted",
    b"{\\rtf": "RTF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"\x1f\x8b": "GZIP",
}
"""How the formats begin that hold text, if any, in a way that is not read here."""


class Unreadable(Exception):
    """The file has no text that can be read. `code` is OpenAI's: unsupported_file, invalid_file."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def unsupported(message: str) -> Unreadable:
    return Unreadable("unsupported_file", message)


def invalid(message: str) -> Unreadable:
    return Unreadable("invalid_file", message)


def too_much() -> Unreadable:
    return invalid("The file takes more memory than may be used to read it.")


def document_of(head: bytes) -> str | None:
    """The format of a document that must be read whole, None for anything else.

    Raises Unreadable for the formats that are not read at all.
    """
    for signature, format in _UNREAD.items():
        if head.startswith(signature):
            raise unsupported(f"Files in this format ({format}) are not supported.")
    return next((format for mark, format in DOCUMENTS.items() if head.startswith(mark)), None)
