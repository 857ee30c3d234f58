"""Assistants in the model."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from clew.core.assistants import Assistant
from clew.core.errors import NotFound
from clew.core.paging import Page
from clew.store.once import Once
from clew.testing.model.memory import Memory
from clew.testing.model.pages import page_of


class AssistantVerbs(Memory):
    async def create_assistant(
        self, project: str, assistant: Assistant, *, once: Once | None = None
    ) -> Assistant:
        def act() -> Assistant:
            mine = self._assistants.setdefault(project, {})
            return mine.setdefault(assistant.key, deepcopy(assistant))

        return self._act((project, ""), once, act)

    async def get_assistant(self, project: str, assistant: str) -> Assistant:
        return deepcopy(self._assistant(project, assistant))

    async def list_assistants(self, project: str, page: Page) -> tuple[list[Assistant], bool]:
        mine = sorted(
            self._assistants.get(project, {}).values(), key=lambda one: (one.created_at, one.key)
        )
        return page_of(mine, page, "assistant")

    async def update_assistant(
        self,
        project: str,
        assistant: str,
        changes: dict[str, Any],
        *,
        once: Once | None = None,
    ) -> Assistant:
        def act() -> Assistant:
            found = self._assistant(project, assistant)
            found.settings |= deepcopy(changes)
            return found

        return self._act((project, ""), once, act)

    async def delete_assistant(self, project: str, assistant: str) -> None:
        self._assistant(project, assistant)
        del self._assistants[project][assistant]

    def _assistant(self, project: str, assistant: str) -> Assistant:
        found = self._assistants.get(project, {}).get(assistant)
        if found is None:
            raise NotFound("assistant", assistant)
        return found
