"""Errors are said in the words of the face that is asked."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.errors import BadRequest, Busy, ClewError, IllegalMove, NotFound, Stale
from clew.wire.errors import Act, Face, encode_error, not_found

LOCKED = (
    "Another process is currently operating on this conversation. Please retry in a few seconds."
)


def words(error: ClewError, face: Face, act: Act = "append") -> Any:
    return encode_error(error, face, act)["error"]["message"]


@pytest.mark.parametrize(
    ("noun", "id", "face", "message"),
    [
        ("thread", "X", "threads", "No thread found with id 'thread_X'."),
        ("thread", "X", "clew", "No thread found with id 'thread_X'."),
        ("thread", "X", "conversations", "Conversation with id 'conv_X' not found."),
        ("thread", "conv_X", "conversations", "Conversation with id 'conv_X' not found."),
        ("item", "msg_X", "threads", "No message found with id 'msg_X'."),
        ("item", "msg_X", "conversations", "Item with id 'msg_X' not found in conversation."),
        ("item", "fc_X", "clew", "No item found with id 'fc_X'."),
        ("run", "X", "threads", "No run found with id 'run_X'."),
        ("run", "X", "conversations", "Response with id 'resp_X' not found."),
        ("assistant", "X", "threads", "No assistant found with id 'asst_X'."),
    ],
)
def test_not_found(noun: str, id: str, face: Face, message: str) -> None:
    """What is missing is named as the face names it, with the id a client would know."""
    assert encode_error(NotFound(noun, id), face) == {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }


def test_an_id_that_is_none_is_said_as_it_came() -> None:
    """Where the id has no key in it, its text is repeated unchanged."""
    assert not_found("thread", "bogus", "threads") == "No thread found with id 'bogus'."


def test_busy_threads() -> None:
    """Clients read both ids out of these two sentences."""
    busy = Busy("AbC", "AbCdEf")
    assert words(busy, "threads", "append") == (
        "Can't add messages to thread_AbC while a run run_AbCdEf is active."
    )
    assert (
        words(busy, "threads", "run") == "Thread thread_AbC already has an active run run_AbCdEf."
    )


@pytest.mark.parametrize("act", ["append", "run"])
def test_busy_conversations(act: Act) -> None:
    """A conversation in use is locked, whatever was asked of it."""
    assert encode_error(Busy("X", "Y"), "conversations", act) == {
        "error": {
            "message": LOCKED,
            "type": "invalid_request_error",
            "param": "conversation",
            "code": "conversation_locked",
        }
    }


@pytest.mark.parametrize(
    ("status", "target", "face", "message"),
    [
        ("expired", "queued", "threads", 'Runs in status "expired" do not accept tool outputs.'),
        ("completed", "cancelling", "threads", "Cannot cancel run with status 'completed'."),
        ("failed", "cancelled", "conversations", "Cannot cancel a failed response."),
        ("failed", "completed", "threads", "A run in status 'failed' cannot become 'completed'."),
    ],
)
def test_illegal_moves(status: str, target: str, face: Face, message: str) -> None:
    """A run in the wrong status is refused in the words for what was asked."""
    assert words(IllegalMove(status, target), face) == message


def test_other_errors_keep_their_words() -> None:
    """Everything else is said as the core said it, with its parameter and code."""
    error = BadRequest("Unknown parameter: 'x'.", "x", "unknown_parameter")
    assert encode_error(error, "threads")["error"] == {
        "message": "Unknown parameter: 'x'.",
        "type": "invalid_request_error",
        "param": "x",
        "code": "unknown_parameter",
    }
    assert encode_error(Stale(3, 4), "conversations")["error"]["param"] == "If-Match"
    assert (
        encode_error(ClewError("unavailable", "Full."), "clew")["error"]["type"] == "server_error"
    )
