"""Errors: one family, a closed list of codes, and whose fault it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from clew.core.errors import (
    CODES,
    BadRequest,
    Busy,
    ClewError,
    IllegalMove,
    NotFound,
    Replayed,
    Stale,
)

SRC = Path(__file__).parents[2] / "src" / "clew"
OURS = {"internal", "upstream", "unavailable"}


def raised() -> set[str]:
    """Every code that is written out where a ClewError is made."""
    calls = [
        node
        for path in SRC.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and "ClewError" in ast.unparse(node.func) and node.args
    ]
    codes = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    return {str(code) for code in codes}


def test_no_error_has_a_code_of_its_own() -> None:
    """Every code an error is made with, anywhere, is in the list."""
    assert raised() >= {"conflict", "unavailable", "key_reused"}
    assert raised() - CODES.keys() == set()


def test_the_list_says_whose_fault_it_is() -> None:
    """Ours are 5xx and server errors, theirs 4xx, and only a rate limit has a type of its own."""
    for code, (status, kind) in CODES.items():
        expected = "server_error" if code in OURS else "invalid_request_error"
        assert kind == ("rate_limit_error" if code == "rate_limited" else expected)
        assert status // 100 == (5 if code in OURS else 4)


@pytest.mark.parametrize("code", CODES)
def test_an_error_knows_its_status(code: str) -> None:
    """Status and type of an error are those of its code."""
    error = ClewError(code, "A sentence.", "field", "wire")
    assert (error.status, error.type) == CODES[code]
    assert (error.message, str(error), error.param, error.wire_code) == (
        "A sentence.",
        "A sentence.",
        "field",
        "wire",
    )


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BadRequest("No.", "limit", "invalid_type"), 400, "No."),
        (NotFound("thread", "X"), 404, "No thread found with id 'X'."),
        (Busy("T", "TR"), 400, "Thread thread_T already has an active run run_TR."),
        (Stale(3, 4), 412, "The thread is at revision 4, not 3."),
        (
            IllegalMove("failed", "queued"),
            400,
            "A run in status 'failed' cannot become 'queued'.",
        ),
    ],
)
def test_errors_speak_for_themselves(error: ClewError, status: int, message: str) -> None:
    """Each kind of error says in a sentence what is wrong."""
    assert (error.status, error.message) == (status, message)


def test_a_replay_is_no_error() -> None:
    """An answer said again must not be caught as something that went wrong."""
    assert not isinstance(Replayed(b"x"), ClewError)
    assert Replayed(b"x").answer == b"x"
