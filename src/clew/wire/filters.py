"""Filters over attributes, as a search is given them."""

from __future__ import annotations

from clew.wire.checks import Either, Flag, ListOf, Number, Record, Spec, Tagged, Text

ATTRIBUTE_KEY_MAX, ATTRIBUTE_TEXT_MAX = 64, 512
NESTED_MAX = 8
"""How deep filters may hold one another."""

_VALUE = Either(Text(ATTRIBUTE_TEXT_MAX), Number(), Flag())
_VALUES = ListOf(Either(Text(ATTRIBUTE_TEXT_MAX), Number()), max_items=1_000)


def _comparison(op: str, value: Spec) -> Record:
    fields: dict[str, Spec] = {"type": Text(), "key": Text(ATTRIBUTE_KEY_MAX), "value": value}
    return Record(fields, required=("key", "value"))


_COMPARISONS: dict[str, Spec] = {
    **{op: _comparison(op, _VALUE) for op in ("eq", "ne", "gt", "gte", "lt", "lte")},
    **{op: _comparison(op, _VALUES) for op in ("in", "nin")},
}


def _filter(depth: int) -> Tagged:
    if not depth:
        return Tagged("type", _COMPARISONS, default="eq")
    fields: dict[str, Spec] = {"type": Text(), "filters": ListOf(_filter(depth - 1), 100, 1)}
    compound = Record(fields, required=("filters",))
    return Tagged("type", {**_COMPARISONS, "and": compound, "or": compound}, default="eq")


FILTER = _filter(NESTED_MAX)
