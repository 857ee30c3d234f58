"""JSON as people read it: with letters for their codes, and with ends of lines between values.

It stays JSON. What looks like it and is not is changed no more than this.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<code>\\u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})?)|\\.|"|,(?=[^\s])""", re.DOTALL
)
_TOKEN_MAX = 12
"""Characters of a code that takes two units."""


class JsonText:
    """Takes JSON, or lines of it, in pieces."""

    def __init__(self) -> None:
        self._rest = ""
        self._in_string = False

    def read(self, text: str, *, last: bool) -> str:
        text = self._rest + text
        sure = len(text) if last else max(0, len(text) - _TOKEN_MAX)
        said, place = [], 0
        for found in _TOKEN.finditer(text):
            if found.start() >= sure:
                break
            said += [text[place : found.start()], self._said(found)]
            place = found.end()
        end = max(place, sure)
        said.append(text[place:end])
        self._rest = text[end:]
        return "".join(said)

    def _said(self, found: re.Match[str]) -> str:
        token = found[0]
        if token == '"':
            self._in_string = not self._in_string
            return token
        if token == ",":
            return token if self._in_string else ",\n"
        return _letters(token) if found["code"] else token


def _letters(code: str) -> str:
    """What a code, or a pair of them, stands for; the code itself where that cannot be written."""
    units = [int(unit, 16) for unit in code.split("\\u")[1:]]
    text = b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be", "surrogatepass")
    if all(char.isprintable() and char not in '"\\' for char in text):
        return text
    return code if len(units) == 1 else "".join(_letters(f"\\u{unit:04x}") for unit in units)
