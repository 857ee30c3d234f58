"""Stored chat completions, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.core.completions import Completion, CompletionQuery
from clew.core.errors import NotFound
from clew.core.paging import Page, walk
from clew.store.completions import number_of
from clew.store.once import ANSWERS_KEPT_MS, Once
from clew.store.postgres.answers import PROJECT, Answers, answered
from clew.store.postgres.engine import Row, Transaction
from clew.store.postgres.metadata import from_jsonb, to_jsonb
from clew.store.postgres.pages import read_page, turned


class CompletionVerbs(Answers):
    """Stored chat completions."""

    async def recall_completion(self, project: str, once: Once) -> None:
        since = once.now_ms - ANSWERS_KEPT_MS
        key = {"scope": PROJECT, "project": project, "key": once.key}
        for fingerprint, answer in await self.read("find_completion_answer", **key, since=since):
            raise answered(once, fingerprint, answer)

    async def create_completion(
        self,
        project: str,
        completion: Completion,
        messages: Sequence[bytes],
        *,
        once: Once | None = None,
    ) -> Completion:
        bodies = [body.decode() for body in messages]

        async def act(tx: Transaction) -> Completion:
            await tx.run(
                "insert_completion",
                project=project,
                id=completion.key,
                created_at=completion.created_at,
                model=completion.model,
                metadata=to_jsonb(completion.metadata),
                body=completion.body.decode(),
            )
            asked = {"project": project, "completion": completion.key, "bodies": bodies}
            await tx.run("insert_completion_messages", **asked)
            return completion

        return await self.act_once(project, PROJECT, once, act, about=completion.key)

    async def get_completion(self, project: str, completion: str) -> Completion:
        asked = {"project": project, "completion": completion}
        return _only(completion, await self.read("get_completion", **asked))

    async def list_completions(
        self, project: str, query: CompletionQuery
    ) -> tuple[list[Completion], bool]:
        scope: dict[str, Any] = {"project": project, "model": query.model}
        prefix = "" if query.model is None else "model_"
        if query.metadata:
            prefix = "find_"
            scope["metadata"] = to_jsonb(query.metadata)
        steps = walk(query.page)
        rows = await read_page(self, "completion", query.page, steps, scope, prefix)
        return turned([_to_completion(row) for row in rows], query.page, steps)

    async def list_completion_messages(
        self, project: str, completion: str, page: Page
    ) -> tuple[list[tuple[int, bytes]], bool]:
        asked = {"project": project, "completion": completion}
        count = _some(completion, await self.read("count_completion_messages", **asked))[0]
        descending = page.order == "desc"
        low, high = -1, count
        if page.after is not None:
            start = number_of(page.after, count)
            low, high = (low, start) if descending else (start, high)
        name = f"completion_messages_{'down' if descending else 'up'}"
        rows = await self.read(name, **asked, low=low, high=high, limit=page.limit + 1)
        entries = [(number, body.encode()) for number, body in rows[: page.limit]]
        return entries, len(rows) > page.limit

    async def update_completion(
        self, project: str, completion: str, metadata: dict[str, str], *, once: Once | None = None
    ) -> Completion:
        change = {"project": project, "completion": completion, "metadata": to_jsonb(metadata)}

        async def act(tx: Transaction) -> Completion:
            return _only(completion, await tx.run("update_completion", **change))

        return await self.act_once(project, PROJECT, once, act, about=completion)

    async def delete_completion(self, project: str, completion: str) -> None:
        asked = {"project": project, "completion": completion}

        async def act(tx: Transaction) -> None:
            _some(completion, await tx.run("delete_completion", **asked))
            await tx.run("delete_completion_messages", **asked)
            await tx.run("delete_answers", thread=completion, project=project)

        await self.write(act)


def _some(completion: str, rows: list[Row]) -> Row:
    if not rows:
        raise NotFound("completion", completion)
    return rows[0]


def _only(completion: str, rows: list[Row]) -> Completion:
    return _to_completion(_some(completion, rows))


def _to_completion(row: Row) -> Completion:
    key, created_at, model, metadata, body = row
    return Completion(key, created_at, model, body.encode(), from_jsonb(metadata))
