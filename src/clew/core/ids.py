"""Typed ids: a prefix that names the noun, then letters and digits only.

A new key is eight base-62 characters of the time in milliseconds (so that keys made later sort
later and an index on them grows at its end) and 22 random ones (130 bits). Keys given by an
importer are kept as they are.

`thread_X`, `conv_X` and `cthr_X` name one thread, `run_X` and `resp_X` one run. The key of a run
begins with the key of its thread, so that a `resp_…` that arrives alone leads to its thread without
a look-up.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_LENGTH = 30

PREFIXES = {
    "thread": ("thread_", "conv_", "cthr_"),
    "run": ("run_", "resp_"),
    "step": ("step_",),
    "assistant": ("asst_",),
    "call": ("mcall_",),
    "receipt": ("rcpt_",),
    "file": ("file-",),
    "upload": ("upload_",),
    "part": ("part_",),
    "vector_store": ("vs_",),
    "file_batch": ("vsfb_",),
    "completion": ("chatcmpl-",),
    "webhook": ("whep_",),
    "dead_letter": ("evt_",),
    "request": ("req_",),
}
"""Noun -> its prefixes; the first is the one Clew writes where no wire face decides."""

ITEM_PREFIXES = {
    "function_call": "fc_",
    "function_call_output": "fco_",
    "reasoning": "rs_",
    "file_search_call": "fs_",
    "web_search_call": "ws_",
    "image_generation_call": "ig_",
    "computer_call": "cu_",
    "computer_call_output": "cuo_",
    "code_interpreter_call": "ci_",
    "compaction": "cmp_",
    "mcp_call": "mcp_",
    "mcp_list_tools": "mcpl_",
    "mcp_approval_request": "mcpr_",
    "mcp_approval_response": "mcpa_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
}
"""Item type -> prefix; messages are `msg_`, every other type `item_`."""

ROLES = frozenset(
    {"user", "assistant", "system", "developer", "unknown", "critic", "discriminator", "tool"}
)
"""Roles a stored message may have; the kinds that are messages."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}\Z")
_ALNUM = bytes.maketrans(b"+/", b"xY")
_POOL_BYTES = 18 * 512
"""Chance taken from the kernel at a time: a call for each id would cost more than the id."""

_last_ms = -1
_last_time = ""
_chance: list[str] = []


def new_key(now_ms: int) -> str:
    """A fresh key for something made at `now_ms`."""
    global _last_ms, _last_time
    if now_ms != _last_ms:
        _last_ms, _last_time = now_ms, _base62(now_ms)
    return _last_time + random_part()


def random_part() -> str:
    """22 random letters and digits: 130 bits."""
    try:
        return _chance.pop()
    except IndexError:
        text = b64encode(os.urandom(_POOL_BYTES)).translate(_ALNUM).decode("ascii")
        _chance.extend(text[start : start + 22] for start in range(0, len(text), 24))
        return _chance.pop()


os.register_at_fork(after_in_child=_chance.clear)  # two processes must not share their chance


def new_item_id(kind: str, now_ms: int) -> str:
    """A fresh item id; `kind` is a role for a message, else the item's type."""
    return item_prefix(kind) + new_key(now_ms)


def item_prefix(kind: str) -> str:
    return "msg_" if kind in ROLES else ITEM_PREFIXES.get(kind, "item_")


def new_run_key(thread: str, now_ms: int) -> str:
    """A fresh run key on the thread with key `thread`."""
    return thread + new_key(now_ms)


def thread_of_run(run: str) -> str | None:
    """The key of the thread a run key belongs to, or None when it cannot be one of ours."""
    return run[:-KEY_LENGTH] if len(run) > KEY_LENGTH else None


def key_of(noun: str, id: str) -> str | None:
    """The key in an id of that noun (`thread_X` -> `X`), or None when it is not one."""
    for prefix in PREFIXES[noun]:
        if id.startswith(prefix):
            key = id[len(prefix) :]
            return key if is_id(key) else None
    return None


def is_made_here(noun: str, id: str) -> bool:
    """Whether an id looks like one of those that Clew makes, and not like somebody else's."""
    key = key_of(noun, id)
    return key is not None and len(key) == KEY_LENGTH and key.isalnum()


def is_id(text: str) -> bool:
    """Whether `text` could be an id at all: letters, digits, `_` and `-`, at most 200."""
    return _ID.match(text) is not None


def _base62(number: int) -> str:
    digits = ""
    for _ in range(8):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits
