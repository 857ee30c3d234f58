"""Strategies: any JSON, and values made from a spec."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from clew.core.errors import BadRequest
from clew.wire import checks
from clew.wire.checks import Spec


def examples(count: int) -> settings:
    """So many examples, however slow the machine is."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


texts = st.text(st.characters(codec="utf-8"), max_size=12)
any_text = st.text(max_size=12) | st.sampled_from(["\ud800", "a\0b", "x" * 300])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | any_text
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def bodies_like(names: list[str]) -> st.SearchStrategy[Any]:
    """Objects that often have the right names and seldom the right values."""
    name = st.sampled_from(names) | any_text
    word = st.sampled_from(["user", "assistant", "text", "message", "auto", "input_text", *names])
    leaf = scalars | word
    value = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(name, inner, max_size=4),
        max_leaves=10,
    )
    return st.dictionaries(name, value, max_size=5) | json_values


def allowed(spec: Spec) -> st.SearchStrategy[Any]:
    """Values that `spec` lets in, its optional fields there or not."""
    match spec:
        case checks.Anything():
            return st.none() | st.booleans() | st.integers() | texts | st.lists(texts, max_size=2)
        case checks.Id():
            return st.sampled_from(["file-1", "asst_x", "a_B-9"])
        case checks.Text(pattern=pattern) if pattern:
            return st.from_regex(spec.pattern, fullmatch=True).filter(lambda text: len(text) < 60)
        case checks.Text():
            legal = texts if spec.nul else texts.map(lambda text: text.replace("\0", "0"))
            return legal.filter(lambda text: len(text) >= spec.min_length)
        case checks.Choice():
            return st.sampled_from(spec.values)
        case checks.Flag():
            return st.booleans()
        case checks.Integer():
            return st.integers(max(spec.min, -(2**40)), min(spec.max, 2**40))
        case checks.Number():
            return st.floats(max(spec.min, -1e6), min(spec.max, 1e6))
        case checks.Nullable():
            return st.none() | allowed(spec.spec)
        case checks.ListOf():
            most = min(spec.max_items, spec.min_items + 2)
            return st.lists(allowed(spec.spec), min_size=spec.min_items, max_size=most)
        case checks.MapOf():
            names = st.text("abc_", max_size=5)
            return st.dictionaries(names, allowed(spec.spec), max_size=2)
        case checks.Either():
            return st.one_of([allowed(one) for one in spec.specs])
        case checks.Tagged():
            return st.sampled_from(spec.supported).flatmap(lambda kind: of_kind(spec, kind))
        case checks.Record():
            return _record(spec)
        case _:
            return st.nothing()


def of_kind(spec: checks.Tagged, kind: str) -> st.SearchStrategy[Any]:
    """Values of one kind of a tagged spec."""
    return allowed(spec.kinds[kind]).map(lambda value: {**value, spec.tag: kind})


def _passes(spec: Spec, value: Any) -> bool:
    try:
        spec.check(value)
    except BadRequest:
        return False
    return True


@functools.cache
def _record(spec: checks.Record) -> st.SearchStrategy[Any]:
    fields = {
        name: allowed(field)
        for name, field in spec.fields.items()
        if not isinstance(field, checks.Unsupported)
    }
    required = {name: fields.pop(name) for name in spec.required}
    extra = {"x_extra": st.integers() | texts} if spec.extra == "keep" else {}
    records = st.fixed_dictionaries(required, optional={**fields, **extra})
    if type(spec) is not checks.Record:  # it has a rule of its own about its fields together
        return records.filter(lambda value: _passes(spec, value))
    if not spec.any_of:
        return records
    return records.filter(lambda value: any(value.get(n) is not None for n in spec.any_of))
