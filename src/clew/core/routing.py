"""Routing rules: which assistant answers a run that names none, by the thread's metadata.

    [{"when": {"tier": "gold"}, "assistant": A}, {"assistant": B}]

The first rule that matches wins; one without conditions matches every thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from clew.core.errors import ClewError

Condition = str | list[str] | dict[str, Any]
"""The value itself; one of several; `{"exists": true}`; `{"glob": "acme-*"}`."""


class Rule(msgspec.Struct):
    """Threads whose metadata meet all of `when` are answered by this assistant (a key)."""

    assistant: str
    when: dict[str, Condition] = {}
    name: str | None = None


class Routing(msgspec.Struct):
    """The rules of a project, first come first; `revision` grows with every replacement."""

    revision: int = 0
    updated_at: int = 0
    rules: list[Rule] = []


class Trial(msgspec.Struct):
    """How a rule met a thread: `why_not` is None when it matches."""

    rule: Rule
    why_not: str | None


def trials(rules: Sequence[Rule], metadata: Mapping[str, str]) -> list[Trial]:
    """Each rule in turn, up to the first that matches."""
    tried: list[Trial] = []
    for rule in rules:
        tried.append(Trial(rule, why_not(rule, metadata)))
        if tried[-1].why_not is None:
            break
    return tried


def why_not(rule: Rule, metadata: Mapping[str, str]) -> str | None:
    """The first condition that the metadata do not meet, in words; None when they meet all."""
    for name, condition in rule.when.items():
        value = metadata.get(name)
        if not _meets(condition, value):
            stands = f"'{name}' is not set" if value is None else f"'{name}' is '{value}'"
            return f"{stands}; the rule asks for {_said(condition)}"
    return None


def _meets(condition: Condition, value: str | None) -> bool:
    match condition:
        case str():
            return value == condition
        case list():
            return value in condition
        case {"exists": wanted}:
            return bool(wanted) == (value is not None)
        case _:
            return value is not None and fnmatchcase(value, _pattern(condition["glob"]))


def _pattern(glob: str) -> str:
    """`*` is any text and `?` any character; brackets mean themselves."""
    return glob.replace("[", "[[]")


def _said(condition: Condition) -> str:
    match condition:
        case str():
            return f"'{condition}'"
        case list():
            return f"one of {', '.join(repr(value) for value in condition)}"
        case {"exists": wanted}:
            return "any value" if wanted else "no value"
        case _:
            return f"'{condition['glob']}'"


def check_revision(routing: Routing, if_revision: int | None) -> None:
    """Raise when somebody else has replaced the rules meanwhile."""
    if if_revision is not None and if_revision != routing.revision:
        said = f"The routing rules are at revision {routing.revision}, not {if_revision}."
        raise ClewError("stale", said, "If-Match", "stale")
