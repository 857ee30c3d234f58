"""Routing rules: which one matches, and why those before it do not."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.errors import ClewError
from clew.core.routing import Routing, Rule, check_revision, trials, why_not


def rule(**when: Any) -> Rule:
    return Rule("a", when)


@pytest.mark.parametrize(
    ("condition", "matching", "others"),
    [
        ("gold", ["gold"], ["Gold", "gol", "golden", "", None]),
        ("", [""], [None, " "]),
        (["gold", "silver"], ["gold", "silver"], ["bronze", "", None]),
        ({"exists": True}, ["", "x"], [None]),
        ({"exists": False}, [None], ["", "x"]),
        ({"glob": "acme-*"}, ["acme-", "acme-1\n2"], ["acme", "xacme-1", "ACME-1", None]),
        ({"glob": "a?c"}, ["abc", "a.c"], ["ac", "abbc"]),
        ({"glob": "[a]*"}, ["[a]x"], ["ax", "a"]),
        ({"glob": "*"}, ["", "x"], [None]),
    ],
)
def test_a_condition_is_met(condition: Any, matching: list[Any], others: list[Any]):
    """By the whole value, in its case; one that is not set meets only what asks for that."""
    for value in matching:
        metadata = {} if value is None else {"k": value}
        assert why_not(rule(k=condition), metadata) is None, value
    for value in others:
        metadata = {} if value is None else {"k": value}
        assert why_not(rule(k=condition), metadata) is not None, value


def test_all_conditions_must_be_met():
    """A rule without any matches every thread; of several, the first that fails is named."""
    assert why_not(rule(), {}) is None
    both = rule(a="1", b="2")
    assert why_not(both, {"a": "1", "b": "2", "c": "3"}) is None
    assert why_not(both, {"a": "1"}) == "'b' is not set; the rule asks for '2'"
    assert why_not(both, {"a": "x", "b": "y"}) == "'a' is 'x'; the rule asks for '1'"


def test_the_first_that_matches_wins():
    """Those before it say why they do not; those after it are not tried."""
    rules = [rule(a="1"), rule(a=["2", "3"]), rule()]
    tried = trials(rules, {"a": "3"})
    assert [each.why_not for each in tried] == ["'a' is '3'; the rule asks for '1'", None]
    assert trials(rules, {})[-1].rule is rules[2]
    assert [each.why_not is None for each in trials(rules[:1], {})] == [False]
    assert trials([], {}) == []


@pytest.mark.parametrize("glob", ["*a" * 60 + "*b", "?" * 500, "*" * 500])
def test_a_pattern_costs_little(glob: str):
    """However it is written, it is matched in no time."""
    why_not(rule(k={"glob": glob}), {"k": "a" * 512})


def test_another_revision_is_stale():
    """Whoever read another one than stands is told so."""
    check_revision(Routing(3), 3)
    check_revision(Routing(3), None)
    with pytest.raises(ClewError, match="revision 3, not 2"):
        check_revision(Routing(3), 2)
