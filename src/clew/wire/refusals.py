"""Refusals: what is wrong with a request, in OpenAI's exact words.

Clients match these sentences, so they are part of the wire. Each function returns the BadRequest
to raise; `path` leads from the body to the offender: `("content", 0, "text")`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from clew.core.errors import BadRequest

Path = tuple[str | int, ...]

_SHOWN_MAX = 100
_JSON_NOUNS: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def spell(path: Path) -> str:
    """The path as OpenAI writes it: `content[0].text`."""
    spelled = ""
    for part in path:
        if isinstance(part, int):
            spelled += f"[{part}]"
        else:
            spelled += f".{shown(part)}" if spelled else shown(part)
    return spelled


def shown(text: str) -> str:
    """The start of a client's text, in a form that any encoder and any terminal can take."""
    safe = text[:_SHOWN_MAX].encode("utf-8", "backslashreplace").decode("utf-8")
    return safe.replace("\0", "\\u0000") + ("…" if len(text) > _SHOWN_MAX else "")


def refuse(path: Path, message: str, wire_code: str) -> BadRequest:
    return BadRequest(message, spell(path) or None, wire_code)


def unknown_parameter(path: Path, known: Iterable[str]) -> BadRequest:
    message = f"Unknown parameter: '{spell(path)}'."
    near = _nearest(str(path[-1]), known)
    if near is not None:
        message += f" Did you mean '{spell((*path[:-1], near))}'?"
    return refuse(path, message, "unknown_parameter")


def missing_parameter(path: Path) -> BadRequest:
    message = f"Missing required parameter: '{spell(path)}'."
    return refuse(path, message, "missing_required_parameter")


def unsupported_parameter(path: Path, reason: str) -> BadRequest:
    message = f"Unsupported parameter: '{spell(path)}'. {reason}"
    return refuse(path, message, "unsupported_parameter")


def wrong_type(path: Path, expected: str, value: Any) -> BadRequest:
    where = f"type for '{spell(path)}'" if path else "body"
    got = _JSON_NOUNS.get(type(value), "something else")
    message = f"Invalid {where}: expected {expected}, but got {got} instead."
    return refuse(path, message, "invalid_type")


def wrong_choice(path: Path, value: str, supported: Sequence[str]) -> BadRequest:
    message = f"Invalid value: '{shown(value)}'. Supported values are: {_listed(supported)}."
    return refuse(path, message, "invalid_value")


def wrong_value(path: Path, problem: str) -> BadRequest:
    return refuse(path, f"Invalid '{spell(path)}': {problem}", "invalid_value")


def out_of_range(path: Path, kind: str, value: float, low: float, high: float) -> BadRequest:
    """`kind` is "integer" or "decimal"."""
    above = value > high
    side, sign, bound = ("above maximum", "<=", high) if above else ("below minimum", ">=", low)
    message = (
        f"Invalid '{spell(path)}': {kind} {side} value. "
        f"Expected a value {sign} {bound}, but got {shown(str(value))} instead."
    )
    return refuse(path, message, f"{kind}_{'above_max' if above else 'below_min'}_value")


def too_long(path: Path, kind: str, length: int, longest: int) -> BadRequest:
    """`kind` is "string" or "array"."""
    message = (
        f"Invalid '{spell(path)}': {kind} too long. Expected {_a(kind)} with maximum length "
        f"{longest}, but got {_a(kind)} with length {length} instead."
    )
    return refuse(path, message, f"{kind}_above_max_length")


def too_short(path: Path, kind: str, length: int, shortest: int) -> BadRequest:
    """`kind` is "string" or "array"; OpenAI has a code of its own for the empty ones."""
    got = f"{_a(kind)} with length {length}" if length else f"an empty {kind}"
    problem = f"{kind} too short" if length else f"empty {kind}"
    message = (
        f"Invalid '{spell(path)}': {problem}. Expected {_a(kind)} with minimum length "
        f"{shortest}, but got {got} instead."
    )
    return refuse(path, message, f"{kind}_below_min_length" if length else f"empty_{kind}")


def too_many_properties(path: Path, count: int, most: int) -> BadRequest:
    message = (
        f"Invalid '{spell(path)}': too many properties. Expected an object with at most {most} "
        f"properties, but got an object with {count} properties instead."
    )
    return refuse(path, message, "object_above_max_properties")


def property_name_too_long(path: Path, name: str, longest: int) -> BadRequest:
    message = (
        f"Invalid property name in '{spell(path)}': '{shown(name)}' is too long. Expected a "
        f"string with maximum length {longest}, but got a string with length {len(name)} instead."
    )
    return refuse(path, message, "string_above_max_length")


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _listed(values: Sequence[str]) -> str:
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name at most two edits away; None when a name as short would fit anything."""
    distances = [
        (_edits(name, other), other) for other in known if abs(len(other) - len(name)) <= 2
    ]
    edits, near = min(distances, default=(len(name), ""))
    return near if edits <= 2 and edits < len(name) else None


def _edits(left: str, right: str) -> int:
    """Levenshtein distance."""
    above = list(range(len(right) + 1))
    for row, a in enumerate(left, 1):
        line = [row]
        for column, b in enumerate(right, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (a != b)))
        above = line
    return above[-1]
