"""Routing rules on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.core.ids import key_of
from clew.core.routing import Routing, Rule, Trial
from clew.wire import refusals
from clew.wire.checks import Either, Flag, Id, ListOf, MapOf, Record, Text
from clew.wire.fields import METADATA, METADATA_MAP, seconds

RULES_MAX = 200
VALUES_MAX = 100

_VALUE = Text(512, nul=False)
_CONDITION = Either(
    _VALUE,
    ListOf(_VALUE, VALUES_MAX, 1),
    Record({"exists": Flag(), "glob": Text(512, 1, nul=False)}, any_of=("exists", "glob")),
)
_RULE = Record(
    {
        "when": MapOf(_CONDITION, METADATA_MAP.max_items, METADATA_MAP.key_max),
        "assistant_id": Id(),
        "name": Text(256, 1, nul=False),
    },
    required=("assistant_id",),
)
PUT = Record({"rules": ListOf(_RULE, RULES_MAX)}, required=("rules",))
DRY_RUN = Record({"thread_id": Id(), "metadata": METADATA}, any_of=("thread_id", "metadata"))


def decode_rules(body: dict[str, Any]) -> list[Rule]:
    """The rules of a checked body. What could never be reached is refused."""
    return [_decode_rule(rule, place, body["rules"]) for place, rule in enumerate(body["rules"])]


def _decode_rule(given: dict[str, Any], place: int, rules: Sequence[Any]) -> Rule:
    at = ("rules", place)
    key = key_of("assistant", given["assistant_id"])
    if key is None:
        problem = (
            f"'{refusals.shown(given['assistant_id'])}'. Expected an ID that begins with 'asst'."
        )
        raise refusals.wrong_value((*at, "assistant_id"), problem)
    when = given.get("when") or {}
    if not when and place < len(rules) - 1:
        raise refusals.wrong_value(at, "a rule without conditions matches all, so it comes last.")
    for name, condition in when.items():
        if isinstance(condition, dict) and len(condition) > 1:
            problem = "'exists' and 'glob' cannot be asked for together."
            raise refusals.wrong_value((*at, "when", name), problem)
    return Rule(key, when, given.get("name"))


def encode_routing(routing: Routing) -> dict[str, Any]:
    return {
        "object": "routing_rules",
        "revision": routing.revision,
        "updated_at": seconds(routing.updated_at) if routing.revision else None,
        "rules": [_encode_rule(rule) for rule in routing.rules],
    }


def encode_dry_run(routing: Routing, tried: Sequence[Trial], missing: str | None) -> dict[str, Any]:
    """Which assistant would answer, by which rule (its place, from 0), and why none before it."""
    chosen = tried[-1].rule if tried and tried[-1].why_not is None else None
    return {
        "object": "routing_rules.dry_run",
        "revision": routing.revision,
        "assistant_id": None if chosen is None else f"asst_{chosen.assistant}",
        "rule": None if chosen is None else len(tried) - 1,
        "name": None if chosen is None else chosen.name,
        "error": missing,
        "tried": [
            {
                "rule": place,
                "name": trial.rule.name,
                "matches": trial.why_not is None,
                "why_not": trial.why_not,
            }
            for place, trial in enumerate(tried)
        ],
    }


def _encode_rule(rule: Rule) -> dict[str, Any]:
    shown: dict[str, Any] = {"assistant_id": f"asst_{rule.assistant}", "when": rule.when}
    return shown | ({} if rule.name is None else {"name": rule.name})
