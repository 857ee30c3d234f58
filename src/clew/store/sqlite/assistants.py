"""Assistants in SQLite."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from clew.core.assistants import Assistant
from clew.core.errors import NotFound
from clew.core.paging import Page
from clew.core.tool_resources import Grant
from clew.store.once import Once
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.engine import SQL, Engine, decode, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.grants import grant
from clew.store.sqlite.pages import read_page


class AssistantVerbs(Engine):
    async def create_assistant(
        self,
        project: str,
        assistant: Assistant,
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Assistant:
        def act() -> Assistant:
            replay(self.db, project, PROJECT, once)
            asked, at = assistant.settings.get("tool_resources"), assistant.created_at
            resources = {"tool_resources": grant(self.db, project, asked, given, at)}
            settings = assistant.settings if given is None else assistant.settings | resources
            made = msgspec.structs.replace(assistant, settings=settings)
            row = {
                "project": project,
                "key": made.key,
                "created_at": made.created_at,
                "settings": text(made.settings),
            }
            self.db.execute(SQL["insert_assistant"], row)
            record(self.db, project, PROJECT, once, made)
            return made

        return await self.write(act)

    @reads
    async def get_assistant(self, project: str, assistant: str) -> Assistant:
        return _read(self.snapshot(), project, assistant)

    @reads
    async def list_assistants(self, project: str, page: Page) -> tuple[list[Assistant], bool]:
        rows, more = read_page(self.snapshot(), "assistant", page, {"project": project})
        return [_to_assistant(*row) for row in rows], more

    async def update_assistant(
        self,
        project: str,
        assistant: str,
        changes: dict[str, Any],
        now_ms: int = 0,
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Assistant:
        def act() -> Assistant:
            replay(self.db, project, PROJECT, once)
            old = _read(self.db, project, assistant)
            grant(self.db, project, changes.get("tool_resources"), given, now_ms)
            new = msgspec.structs.replace(old, settings=old.settings | changes)
            change = {"project": project, "assistant": assistant, "settings": text(new.settings)}
            self.db.execute(SQL["update_assistant"], change)
            record(self.db, project, PROJECT, once, new)
            return new

        return await self.write(act)

    async def delete_assistant(self, project: str, assistant: str) -> None:
        def act() -> None:
            asked = {"project": project, "assistant": assistant}
            if self.db.execute(SQL["delete_assistant"], asked).fetchone() is None:
                raise NotFound("assistant", assistant)

        await self.write(act, scrub=True)


def _read(db: apsw.Connection, project: str, assistant: str) -> Assistant:
    asked = {"project": project, "assistant": assistant}
    row = db.execute(SQL["get_assistant"], asked).fetchone()
    if row is None:
        raise NotFound("assistant", assistant)
    return _to_assistant(*row)


def _to_assistant(key: str, created_at: int, settings: str) -> Assistant:
    return Assistant(key, created_at, decode(settings))
