"""Errors on the wire: OpenAI's error object, in the words of the face that is asked.

Clients read ids out of these sentences, so a thread is a thread on one face and a conversation on
the other. Errors of the core carry keys; here they become ids again.
"""

from __future__ import annotations

from typing import Any, Literal

from clew.core.errors import Busy, ClewError, IllegalMove, NotFound
from clew.core.ids import PREFIXES

Face = Literal["threads", "conversations", "chatkit", "clew"]
Act = Literal["append", "run"]

_NOT_FOUND: dict[str, dict[str, str]] = {
    "conversations": {
        "thread": "Conversation with id '{}' not found.",
        "run": "Response with id '{}' not found.",
        "item": "Item with id '{}' not found in conversation.",
    },
    "threads": {"item": "No message found with id '{}'."},
}
_PREFIX_PLACES: dict[Face, int] = {"conversations": 1, "chatkit": 2}
"""Which of a noun's prefixes a face writes, where it is not the first."""

_OWN_WORDS = {
    "file": "No such File object: {}",
    "vector_store": "No vector store found with id '{}'.",
    "file_batch": "No file batch found with id '{}'.",
    "webhook": "No webhook endpoint found with id '{}'.",
    "dead_letter": "No dead letter found with id '{}'.",
}
"""Nouns that are told in the same words on every face."""

_LOCKED = (
    "Another process is currently operating on this conversation. Please retry in a few seconds."
)


def encode_error(error: ClewError, face: Face, act: Act = "append") -> dict[str, Any]:
    """The body of an answer to a failed request.

    `act` says what the thread was too busy for: an append, or a new run.
    """
    message, param, code = error.message, error.param, error.wire_code
    if isinstance(error, NotFound):
        message = not_found(error.noun, _id(error.noun, error.id, face), face)
        param = not_found_param(error.noun)
    elif isinstance(error, Busy) and face == "conversations":
        message, param, code = _LOCKED, "conversation", "conversation_locked"
    elif isinstance(error, Busy) and act == "append":
        message = (
            f"Can't add messages to thread_{error.thread} while a run run_{error.run} is active."
        )
    elif isinstance(error, IllegalMove):
        message = _illegal_move(error, face)
    return {"error": {"message": message, "type": error.type, "param": param, "code": code}}


def not_found(noun: str, id: str, face: Face) -> str:
    """The sentence for an id as the client gave it."""
    words = _OWN_WORDS.get(noun) or _NOT_FOUND.get(face, {}).get(noun)
    return (words or f"No {noun} found with id '{{}}'.").format(id)


def not_found_param(noun: str) -> str | None:
    """The parameter that OpenAI names with the sentence."""
    return "id" if noun == "file" else None


def _id(noun: str, key: str, face: Face) -> str:
    prefixes = PREFIXES.get(noun, ("",))
    if key.startswith(prefixes):
        return key
    place = _PREFIX_PLACES.get(face, 0)
    return (prefixes[place] if place < len(prefixes) else prefixes[0]) + key


def _illegal_move(error: IllegalMove, face: Face) -> str:
    status = error.run_status
    if error.target == "queued":
        return f'Runs in status "{status}" do not accept tool outputs.'
    if error.target not in ("cancelling", "cancelled"):
        return error.message
    if face == "conversations":
        return f"Cannot cancel a {status} response."
    return f"Cannot cancel run with status '{status}'."
