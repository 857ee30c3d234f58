"""Checks: what a decoded JSON body may hold, said once as a value.

A spec refuses by name (`check`) and describes itself (`schema`), so the API document cannot say
anything else than what is enforced. `check` is on the path of every write: while a body is right
it compares types and lengths and builds nothing but the path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from clew.core.ids import is_id
from clew.wire import refusals
from clew.wire.refusals import Path

NESTING_MAX = 100
"""How deep a free-form value may go: deep enough for any JSON Schema, safe to walk."""

INTEGER_MAX = 2**63 - 1
ID_LENGTH_MAX = 200


class Spec:
    """What is allowed in one place. `types` are the JSON types it takes, `noun` says them."""

    types: tuple[type, ...] = ()
    noun = "a value"

    def check(self, value: Any, path: Path = ()) -> None:
        """Raise BadRequest with OpenAI's words unless `value` is allowed."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """The same rule as JSON Schema."""
        raise NotImplementedError


class Anything(Spec):
    """Any JSON value that can be stored."""

    types = (str, int, float, bool, list, dict, type(None))

    def check(self, value: Any, path: Path = ()) -> None:
        check_storable(value, path)

    def schema(self) -> dict[str, Any]:
        return {}


class Text(Spec):
    """A string, its length in characters; with `nul=False` without U+0000."""

    types = (str,)
    noun = "a string"

    def __init__(
        self,
        max_length: int | None = None,
        min_length: int = 0,
        *,
        nul: bool = True,
        pattern: str | None = None,
    ) -> None:
        self.max_length = INTEGER_MAX if max_length is None else max_length
        self.min_length, self.nul, self.pattern = min_length, nul, pattern
        self._match = re.compile(pattern.removesuffix("$") + r"\Z").match if pattern else None

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not str:
            raise refusals.wrong_type(path, self.noun, value)
        if len(value) > self.max_length:
            raise refusals.too_long(path, "string", len(value), self.max_length)
        if len(value) < self.min_length:
            raise refusals.too_short(path, "string", len(value), self.min_length)
        if not value.isascii():
            check_unicode(value, path)
        if not self.nul and "\0" in value:
            raise refusals.wrong_value(path, "the character U+0000 is not allowed here.")
        if self._match is not None and self._match(value) is None:
            raise refusals.wrong_value(
                path,
                "string does not match pattern. "
                f"Expected a string that matches the pattern '{self.pattern}'.",
            )

    def schema(self) -> dict[str, Any]:
        rules: dict[str, Any] = {"type": "string"}
        if self.min_length:
            rules["minLength"] = self.min_length
        if self.max_length != INTEGER_MAX:
            rules["maxLength"] = self.max_length
        return rules | ({"pattern": self.pattern} if self.pattern else {})


class Id(Text):
    """An id of ours: a string that could be one."""

    def __init__(self) -> None:
        super().__init__(ID_LENGTH_MAX, 1)

    def check(self, value: Any, path: Path = ()) -> None:
        super().check(value, path)
        if not is_id(value):
            raise refusals.wrong_value(
                path,
                f"'{refusals.shown(value)}'. Expected an ID that contains letters, numbers, "
                "underscores, or dashes, but this value contained additional characters.",
            )


class Choice(Spec):
    """One of some strings."""

    types = (str,)
    noun = "a string"

    def __init__(self, *values: str) -> None:
        self.values = values
        self._known = frozenset(values)

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not str:
            raise refusals.wrong_type(path, self.noun, value)
        if value not in self._known:
            raise refusals.wrong_choice(path, value, self.values)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values)}


class Flag(Spec):
    """True or false."""

    types = (bool,)
    noun = "a boolean"

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not bool:
            raise refusals.wrong_type(path, self.noun, value)

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Integer(Spec):
    """A whole number; booleans are not."""

    types = (int,)
    noun = "an integer"

    def __init__(self, min: int = -INTEGER_MAX, max: int = INTEGER_MAX) -> None:
        self.min, self.max = min, max

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not int:
            raise refusals.wrong_type(path, self.noun, value)
        if not self.min <= value <= self.max:
            raise refusals.out_of_range(path, "integer", value, self.min, self.max)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"} | _bounds(self.min, self.max)


class Number(Spec):
    """A number, whole or not."""

    types = (int, float)
    noun = "a decimal"

    def __init__(self, min: float = -INTEGER_MAX, max: float = INTEGER_MAX) -> None:
        self.min, self.max = min, max

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not float and type(value) is not int:
            raise refusals.wrong_type(path, self.noun, value)
        if not self.min <= value <= self.max:
            raise refusals.out_of_range(path, "decimal", value, self.min, self.max)

    def schema(self) -> dict[str, Any]:
        return {"type": "number"} | _bounds(self.min, self.max)


class Nullable(Spec):
    """Null, or what `spec` allows."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.types, self.noun = (*spec.types, type(None)), spec.noun

    def check(self, value: Any, path: Path = ()) -> None:
        if value is not None:
            self.spec.check(value, path)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.spec.schema(), {"type": "null"}]}


class ListOf(Spec):
    """An array whose entries `spec` allows."""

    types = (list,)

    def __init__(self, spec: Spec, max_items: int | None = None, min_items: int = 0) -> None:
        self.spec, self.min_items = spec, min_items
        self.max_items = INTEGER_MAX if max_items is None else max_items
        entries = {"a string": " of strings", "an object": " of objects"}.get(spec.noun, "")
        self.noun = f"an array{entries}"

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not list:
            raise refusals.wrong_type(path, self.noun, value)
        if len(value) > self.max_items:
            raise refusals.too_long(path, "array", len(value), self.max_items)
        if len(value) < self.min_items:
            raise refusals.too_short(path, "array", len(value), self.min_items)
        check = self.spec.check
        for index, entry in enumerate(value):
            check(entry, (*path, index))

    def schema(self) -> dict[str, Any]:
        rules: dict[str, Any] = {"type": "array", "items": self.spec.schema()}
        if self.min_items:
            rules["minItems"] = self.min_items
        return rules | ({"maxItems": self.max_items} if self.max_items != INTEGER_MAX else {})


class MapOf(Spec):
    """An object with free names and values that `spec` allows."""

    types = (dict,)
    noun = "an object"

    def __init__(
        self, spec: Spec, max_items: int | None = None, key_max: int | None = None
    ) -> None:
        self.spec = spec
        self.max_items = INTEGER_MAX if max_items is None else max_items
        self.key_max = INTEGER_MAX if key_max is None else key_max

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not dict:
            raise refusals.wrong_type(path, self.noun, value)
        if len(value) > self.max_items:
            raise refusals.too_many_properties(path, len(value), self.max_items)
        for name, entry in value.items():
            if len(name) > self.key_max:
                raise refusals.property_name_too_long(path, name, self.key_max)
            _check_name(name, (*path, name))
            self.spec.check(entry, (*path, name))

    def schema(self) -> dict[str, Any]:
        rules: dict[str, Any] = {"type": "object", "additionalProperties": self.spec.schema()}
        if self.max_items != INTEGER_MAX:
            rules["maxProperties"] = self.max_items
        if self.key_max != INTEGER_MAX:
            rules["propertyNames"] = {"maxLength": self.key_max}
        return rules


class Record(Spec):
    """An object with known fields; others are refused, or kept when they can be stored.

    Of the fields in `any_of`, at least one must be there and not null.
    """

    types = (dict,)
    noun = "an object"

    def __init__(
        self,
        fields: Mapping[str, Spec],
        required: Iterable[str] = (),
        extra: Literal["refuse", "keep"] = "refuse",
        any_of: tuple[str, ...] = (),
    ) -> None:
        self.fields, self.required, self.extra = dict(fields), tuple(required), extra
        self.any_of = any_of

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not dict:
            raise refusals.wrong_type(path, self.noun, value)
        fields = self.fields
        if self.extra == "refuse" and not value.keys() <= fields.keys():
            unknown = next(name for name in value if name not in fields)
            raise refusals.unknown_parameter((*path, unknown), fields)
        for name in self.required:
            if name not in value:
                raise refusals.missing_parameter((*path, name))
        for name, entry in value.items():
            spec = fields.get(name)
            if spec is not None:
                spec.check(entry, (*path, name))
            else:
                check_unicode(name, (*path, name))
                check_storable(entry, (*path, name))
        if self.any_of and all(value.get(name) is None for name in self.any_of):
            raise refusals.missing_parameter((*path, self.any_of[0]))

    def schema(self) -> dict[str, Any]:
        properties = {name: spec.schema() for name, spec in self.fields.items()}
        rules: dict[str, Any] = {"type": "object", "properties": properties}
        if self.required:
            rules["required"] = list(self.required)
        if self.any_of:
            rules["anyOf"] = [{"required": [name]} for name in self.any_of]
        return rules | ({"additionalProperties": False} if self.extra == "refuse" else {})


class Either(Spec):
    """One of several specs, told apart by JSON type."""

    def __init__(self, *specs: Spec) -> None:
        self.specs = specs
        self.types = tuple(kind for spec in specs for kind in spec.types)
        self._of_type = {kind: spec for spec in reversed(specs) for kind in spec.types}
        first, *rest = (spec.noun for spec in specs)
        self.noun = " or ".join([f"one of {first}", *(noun.split(" ", 1)[1] for noun in rest)])

    def check(self, value: Any, path: Path = ()) -> None:
        spec = self._of_type.get(type(value))
        if spec is None:
            raise refusals.wrong_type(path, self.noun, value)
        spec.check(value, path)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [spec.schema() for spec in self.specs]}


class Tagged(Spec):
    """An object of one of several kinds, told apart by a field; `default` stands in for it."""

    types = (dict,)
    noun = "an object"

    def __init__(self, tag: str, kinds: Mapping[str, Spec], default: str | None = None) -> None:
        self.tag, self.kinds, self.default = tag, dict(kinds), default
        self.supported = [k for k, spec in kinds.items() if not isinstance(spec, Unsupported)]

    def check(self, value: Any, path: Path = ()) -> None:
        if type(value) is not dict:
            raise refusals.wrong_type(path, self.noun, value)
        tag = value.get(self.tag, self.default)
        spec = self.kinds.get(tag) if type(tag) is str else None
        if spec is None:
            self._refuse(value, (*path, self.tag))
        else:
            spec.check(value, path)

    def _refuse(self, value: dict[str, Any], path: Path) -> None:
        if self.tag not in value:
            raise refusals.missing_parameter(path)
        if type(value[self.tag]) is not str:
            raise refusals.wrong_type(path, "a string", value[self.tag])
        raise refusals.wrong_choice(path, value[self.tag], self.supported)

    def schema(self) -> dict[str, Any]:
        specs = dict.fromkeys(self.kinds[kind] for kind in self.supported)
        return {"anyOf": [spec.schema() for spec in specs]}


class Unsupported(Spec):
    """What OpenAI has and Clew does not: refused, saying why."""

    types = Anything.types

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def check(self, value: Any, path: Path = ()) -> None:
        raise refusals.unsupported_parameter(path, self.reason)

    def schema(self) -> dict[str, Any]:
        return {"not": {}, "description": self.reason}


def check_unicode(text: str, path: Path) -> None:
    """Refuse lone surrogates: they are no characters and have no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusals.wrong_value(path, "the text is not valid Unicode.") from None


def check_storable(value: Any, path: Path) -> None:
    """Refuse what cannot be stored and given back: bad Unicode, infinities, bottomless nesting."""
    _check_storable(value, path, NESTING_MAX)


def _check_storable(value: Any, path: Path, room: int) -> None:
    if not room:
        raise refusals.wrong_value(path[:1], f"nested more than {NESTING_MAX} levels deep.")
    if type(value) is str:
        check_unicode(value, path)
    elif type(value) is float and not math.isfinite(value):
        raise refusals.wrong_value(path, "the number is not finite.")
    elif type(value) is list:
        for index, entry in enumerate(value):
            _check_storable(entry, (*path, index), room - 1)
    elif type(value) is dict:
        for name, entry in value.items():
            check_unicode(name, (*path, name))
            _check_storable(entry, (*path, name), room - 1)


def _check_name(name: str, path: Path) -> None:
    if not name.isascii():
        check_unicode(name, path)
    if "\0" in name:
        raise refusals.wrong_value(path, "the character U+0000 is not allowed in a name.")


def _bounds(low: float, high: float) -> dict[str, float]:
    rules = {"minimum": low} if low > -INTEGER_MAX else {}
    return rules | ({"maximum": high} if high < INTEGER_MAX else {})
