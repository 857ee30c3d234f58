"""Query strings: text decoded into values, then checked by the same specs as bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from clew.wire import refusals
from clew.wire.checks import Flag, Integer, ListOf, MapOf, Record, Spec

_INTEGER = re.compile(r"-?[0-9]{1,100}\Z")
_FLAGS = {"true": True, "false": False}


def decode_query(params: Iterable[tuple[str, str]], spec: Record) -> dict[str, Any]:
    """The values of a query's (name, text) pairs, in the order they came.

    Objects come as `metadata[k]=v`, arrays as `include[]=a&include[]=b`. What cannot be decoded
    stays text, and the spec refuses it. A name that comes twice is refused: neither value is
    the one meant.
    """
    values: dict[str, Any] = {}
    for name, text in params:
        base, bracket, inner = name.partition("[")
        field = spec.fields.get(base)
        if isinstance(field, ListOf) and inner in ("", "]"):
            values.setdefault(base, []).append(text)
        elif isinstance(field, MapOf) and bracket and inner.endswith("]"):
            _put(values.setdefault(base, {}), inner[:-1], text, name)
        else:
            _put(values, name, _value(spec.fields.get(name), text), name)
    spec.check(values)
    return values


def _put(values: Any, key: str, value: Any, name: str) -> None:
    if type(values) is not dict or key in values:
        message = f"Duplicate parameter: '{refusals.shown(name)}'."
        raise refusals.refuse((name,), message, "duplicate_parameter")
    values[key] = value


def _value(spec: Spec | None, text: str) -> Any:
    if isinstance(spec, Integer) and _INTEGER.match(text):
        return int(text)
    if isinstance(spec, Flag):
        return _FLAGS.get(text, text)
    return text
