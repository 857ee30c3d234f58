"""Files on the wire: the form that makes one, the object that tells of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from clew.core.errors import BadRequest
from clew.core.files import PURPOSES, File, new_file
from clew.core.ids import new_key
from clew.core.paging import Page
from clew.wire import refusals
from clew.wire.checks import Choice, Id, Integer, Record, Spec, Text
from clew.wire.fields import page_of, seconds
from clew.wire.multipart import FileBytes
from clew.wire.queries import decode_query

LIMIT_MAX = 10_000
PURPOSE_MAX = 64


class Purpose(Choice):
    """A purpose, refused in the words that the files endpoint has for it."""

    def __init__(self) -> None:
        super().__init__(*PURPOSES)

    def check(self, value: Any, path: refusals.Path = ()) -> None:
        if type(value) is str and value not in self.values:
            message = f"'{refusals.shown(value)}' is not one of {list(PURPOSES)} - 'purpose'"
            raise BadRequest(message, "purpose")
        super().check(value, path)


PURPOSE = Purpose()
_EXPIRES_AFTER: dict[str, Spec] = {
    "anchor": Choice("created_at"),
    "seconds": Integer(3_600, 2_592_000),
}
EXPIRES_AFTER = Record(_EXPIRES_AFTER, required=_EXPIRES_AFTER)
_FIELDS: dict[str, Spec] = {"purpose": PURPOSE, "expires_after": EXPIRES_AFTER}
CREATE = Record({"file": FileBytes(), **_FIELDS}, required=("file", "purpose"))
LIST = Record(
    {
        "purpose": Text(PURPOSE_MAX, nul=False),
        "limit": Integer(1, LIMIT_MAX),
        "order": Choice("asc", "desc"),
        "after": Id(),
    }
)
_FORM = Record(
    {"purpose": PURPOSE, **{f"expires_after[{name}]": s for name, s in _EXPIRES_AFTER.items()}}
)


def decode_file(fields: Iterable[tuple[str, str]], filename: str, now_ms: int) -> File:
    """A new file from the text fields of its form."""
    values = decode_query(fields, _FORM)
    if "purpose" not in values:
        raise BadRequest("'purpose' is a required property")
    rule = {n: values[f"expires_after[{n}]"] for n in _EXPIRES_AFTER if _given(values, n)}
    if rule:
        EXPIRES_AFTER.check(rule, ("expires_after",))
    return new_file(new_key(now_ms), now_ms, filename, values["purpose"], expires_after_ms(rule))


def _given(values: Mapping[str, Any], name: str) -> bool:
    return f"expires_after[{name}]" in values


def expires_after_ms(rule: Mapping[str, Any] | None) -> int | None:
    return rule["seconds"] * 1_000 if rule else None


def decode_list(values: Mapping[str, Any]) -> tuple[Page, str | None]:
    """The page and the purpose that a list is asked for."""
    return page_of({"limit": LIMIT_MAX, **values}, "file"), values.get("purpose")


def encode_file(file: File) -> dict[str, Any]:
    """The file object. What is kept is ready for use, so there is no status but one."""
    return {
        "id": f"file-{file.key}",
        "object": "file",
        "bytes": file.bytes,
        "created_at": seconds(file.created_at),
        "expires_at": None if file.expires_at is None else seconds(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def disposition(filename: str) -> str:
    """A Content-Disposition that any client can read and no browser opens (RFC 6266)."""
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
