"""Metadata as jsonb, which has no U+0000: it is written as U+0001 "0", and U+0001 twice.

The mapping is one to one, so `@>` finds what it should.
"""

from __future__ import annotations

import re

from clew.store.postgres.engine import decode, text

_ESCAPED = re.compile("\x01([\x010])")


def to_jsonb(metadata: dict[str, str]) -> str:
    encoded = text(metadata)
    if "\\u0000" not in encoded and "\\u0001" not in encoded:
        return encoded
    return text({_escape(name): _escape(value) for name, value in metadata.items()})


def from_jsonb(encoded: str) -> dict[str, str]:
    metadata: dict[str, str] = decode(encoded)
    if "\\u0001" not in encoded:
        return metadata
    return {_unescape(name): _unescape(value) for name, value in metadata.items()}


def _escape(string: str) -> str:
    return string.replace("\x01", "\x01\x01").replace("\x00", "\x010")


def _unescape(string: str) -> str:
    return _ESCAPED.sub(lambda match: "\x00" if match[1] == "0" else "\x01", string)
