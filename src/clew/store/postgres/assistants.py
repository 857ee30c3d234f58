"""Assistants in PostgreSQL."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.core.assistants import Assistant
from clew.core.errors import NotFound
from clew.core.paging import Page, walk
from clew.core.tool_resources import Grant
from clew.store.once import Once
from clew.store.postgres.answers import PROJECT, Answers
from clew.store.postgres.engine import Row, Transaction, decode, text
from clew.store.postgres.grants import grant
from clew.store.postgres.pages import read_page, turned


class AssistantVerbs(Answers):
    async def create_assistant(
        self,
        project: str,
        assistant: Assistant,
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Assistant:
        async def act(tx: Transaction) -> Assistant:
            asked, at = assistant.settings.get("tool_resources"), assistant.created_at
            resources = {"tool_resources": await grant(tx, project, asked, given, at)}
            settings = assistant.settings if given is None else assistant.settings | resources
            made = msgspec.structs.replace(assistant, settings=settings)
            await tx.run(
                "insert_assistant",
                project=project,
                id=made.key,
                created_at=made.created_at,
                settings=text(made.settings),
            )
            return made

        return await self.act_once(project, PROJECT, once, act)

    async def get_assistant(self, project: str, assistant: str) -> Assistant:
        rows = await self.read("get_assistant", project=project, assistant=assistant)
        return _only(assistant, rows)

    async def list_assistants(self, project: str, page: Page) -> tuple[list[Assistant], bool]:
        steps = walk(page)
        rows = await read_page(self, "assistant", page, steps, {"project": project})
        return turned([_to_assistant(row) for row in rows], page, steps)

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
        asked = {"project": project, "assistant": assistant}

        async def act(tx: Transaction) -> Assistant:
            old = _only(assistant, await tx.run("lock_assistant", **asked))
            await grant(tx, project, changes.get("tool_resources"), given, now_ms)
            new = msgspec.structs.replace(old, settings=old.settings | changes)
            await tx.run("update_assistant", **asked, settings=text(new.settings))
            return new

        return await self.act_once(project, PROJECT, once, act)

    async def delete_assistant(self, project: str, assistant: str) -> None:
        async def act(tx: Transaction) -> None:
            if await tx.row("delete_assistant", project=project, assistant=assistant) is None:
                raise NotFound("assistant", assistant)

        await self.write(act)


def _only(assistant: str, rows: list[Row]) -> Assistant:
    if not rows:
        raise NotFound("assistant", assistant)
    return _to_assistant(rows[0])


def _to_assistant(row: Row) -> Assistant:
    key, created_at, settings = row
    return Assistant(key, created_at, decode(settings))
