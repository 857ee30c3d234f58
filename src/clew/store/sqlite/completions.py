"""Stored chat completions, in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from clew.core.completions import Completion, CompletionQuery
from clew.core.errors import NotFound
from clew.core.paging import Page
from clew.store.completions import number_of
from clew.store.once import Once
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.engine import SQL, Engine, decode, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.pages import read_page


class CompletionVerbs(Engine):
    """Stored chat completions."""

    @reads
    async def recall_completion(self, project: str, once: Once) -> None:
        replay(self.snapshot(), project, PROJECT, once)

    async def create_completion(
        self,
        project: str,
        completion: Completion,
        messages: Sequence[bytes],
        *,
        once: Once | None = None,
    ) -> Completion:
        row = {
            "project": project,
            "key": completion.key,
            "created_at": completion.created_at,
            "model": completion.model,
            "metadata": text(completion.metadata),
            "body": completion.body.decode(),
        }

        def act() -> Completion:
            replay(self.db, project, PROJECT, once)
            self.db.execute(SQL["insert_completion"], row)
            no = self.db.last_insert_rowid()
            asked = [(no, number, body.decode()) for number, body in enumerate(messages)]
            self.db.executemany(SQL["insert_completion_messages"], asked)
            _index_metadata(self.db, project, no, completion.metadata)
            record(self.db, project, PROJECT, once, completion, completion.key)
            return completion

        return await self.write(act)

    @reads
    async def get_completion(self, project: str, completion: str) -> Completion:
        return _only(_find(self.snapshot(), "get_completion", project, completion), completion)

    @reads
    async def list_completions(
        self, project: str, query: CompletionQuery
    ) -> tuple[list[Completion], bool]:
        bindings: dict[str, Any] = {"project": project, "model": query.model}
        prefix = "" if query.model is None else "model_"
        if query.metadata:
            prefix = "find_"
            name, value = next(iter(query.metadata.items()))
            bindings |= {"name": name, "value": value, "metadata": text(query.metadata)}
        rows, more = read_page(self.snapshot(), "completion", query.page, bindings, prefix)
        return [_to_completion(row) for row in rows], more

    @reads
    async def list_completion_messages(
        self, project: str, completion: str, page: Page
    ) -> tuple[list[tuple[int, bytes]], bool]:
        db = self.snapshot()
        found = _find(db, "count_completion_messages", project, completion)
        count = _some(found, completion)[0]
        descending = page.order == "desc"
        low, high = -1, count
        if page.after is not None:
            start = number_of(page.after, count)
            low, high = (low, start) if descending else (start, high)
        asked = {"project": project, "completion": completion, "low": low, "high": high}
        query = SQL[f"completion_messages_{'down' if descending else 'up'}"]
        rows: list[Any] = db.execute(query, asked | {"limit": page.limit + 1}).fetchall()
        entries = [(number, body.encode()) for number, body in rows[: page.limit]]
        return entries, len(rows) > page.limit

    async def update_completion(
        self, project: str, completion: str, metadata: dict[str, str], *, once: Once | None = None
    ) -> Completion:
        def act() -> Completion:
            replay(self.db, project, PROJECT, once)
            no = _some(_find(self.db, "find_completion_number", project, completion), completion)[0]
            self.db.execute(SQL["delete_completion_metadata"], {"no": no})
            _index_metadata(self.db, project, no, metadata)
            change = {"metadata": text(metadata)}
            changed = _find(self.db, "update_completion", project, completion, change)
            outcome = _only(changed, completion)
            record(self.db, project, PROJECT, once, outcome, completion)
            return outcome

        return await self.write(act)

    async def delete_completion(self, project: str, completion: str) -> None:
        def act() -> None:
            no = _some(_find(self.db, "find_completion_number", project, completion), completion)[0]
            self.db.execute(SQL["delete_completion_metadata"], {"no": no})
            self.db.execute(SQL["delete_completion_messages"], {"no": no})
            _find(self.db, "delete_completion", project, completion)
            self.db.execute(SQL["delete_answers"], {"thread": completion, "project": project})

        await self.write(act, scrub=True)


def _find(
    db: apsw.Connection,
    name: str,
    project: str,
    completion: str,
    more: dict[str, Any] | None = None,
) -> list[tuple[Any, ...]]:
    asked = {"project": project, "completion": completion} | (more or {})
    return db.execute(SQL[name], asked).fetchall()


def _some(rows: list[tuple[Any, ...]], completion: str) -> tuple[Any, ...]:
    if not rows:
        raise NotFound("completion", completion)
    return rows[0]


def _only(rows: list[tuple[Any, ...]], completion: str) -> Completion:
    return _to_completion(_some(rows, completion))


def _index_metadata(db: apsw.Connection, project: str, no: int, metadata: dict[str, str]) -> None:
    if metadata:
        row = {"project": project, "no": no, "metadata": text(metadata)}
        db.execute(SQL["insert_completion_metadata"], row)


def _to_completion(row: tuple[Any, ...]) -> Completion:
    key, created_at, model, metadata, body = row
    return Completion(key, created_at, model, body.encode(), decode(metadata))
