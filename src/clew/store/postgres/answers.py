"""Answers recorded for an `Idempotency-Key`, in the same transaction as what they answer for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from clew.core.errors import ClewError
from clew.store.once import ANSWERS_KEPT_MS, Once, said
from clew.store.postgres.engine import Engine, Transaction

T = TypeVar("T")
PROJECT = ""
"""The scope of keys that came with no thread."""


class Answers(Engine):
    async def act_once(
        self,
        project: str,
        thread: str,
        once: Once | None,
        act: Callable[[Transaction], Awaitable[T]],
        *,
        about: str | None = None,
    ) -> T:
        """Run `act` in a transaction unless its key was answered before (Replayed).

        Of two requests that race with one key, the second waits for the first and then replays it,
        or goes ahead if the first failed. `about` is the thread the answer speaks of, where that
        is not `thread`.
        """
        if once is None:
            return await self.write(act)
        since = once.now_ms - ANSWERS_KEPT_MS
        key = {
            "scope": PROJECT if once.project_wide else thread,
            "project": project,
            "key": once.key,
        }
        claim = {
            **key,
            "about": thread if about is None else about,
            "fingerprint": once.fingerprint,
            "created_at": once.now_ms,
            "since": since,
        }

        async def claim_and_act(tx: Transaction) -> T:
            if await tx.row("insert_answer", **claim, answer=None) is None:
                await _replay(tx, key, once)
            outcome = await act(tx)
            await tx.run("delete_old_answers", since=since)
            await tx.run("insert_answer", **claim, answer=once.encode(outcome))
            return outcome

        return await self.write(claim_and_act)


async def _replay(tx: Transaction, key: dict[str, str], once: Once) -> None:
    row = await tx.row("get_answer", **key)
    assert row is not None  # the refused claim has locked it
    raise answered(once, *row)


def answered(once: Once, fingerprint: str, answer: bytes) -> Exception:
    """What to raise for a key that has this answer, by its fingerprint to this very request."""
    if fingerprint != once.fingerprint:
        message = "This Idempotency-Key was used before with another request."
        return ClewError("key_reused", message, "Idempotency-Key", "idempotency_key_reused")
    return said(answer)
