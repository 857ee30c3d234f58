"""The routing rules of a project in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clew.core.errors import NotFound
from clew.core.routing import Routing, Rule, check_revision
from clew.store.once import Once
from clew.store.postgres.answers import PROJECT, Answers
from clew.store.postgres.engine import Row, Transaction, text


class RoutingVerbs(Answers):
    async def get_routing(self, project: str) -> Routing:
        return _routing(await self.read("get_routing", project=project))

    async def put_routing(
        self,
        project: str,
        rules: Sequence[Rule],
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Routing:
        async def act(tx: Transaction) -> Routing:
            await tx.run("lock_routing", project=project)
            stands = _routing(await tx.run("get_routing", project=project))
            check_revision(stands, if_revision)
            for rule in rules:
                asked = {"project": project, "assistant": rule.assistant}
                if await tx.row("get_assistant", **asked) is None:
                    raise NotFound("assistant", rule.assistant)
            made = Routing(stands.revision + 1, now_ms, list(rules))
            row = msgspec.structs.asdict(made) | {"rules": text(made.rules)}
            await tx.run("put_routing", project=project, **row)
            return made

        return await self.act_once(project, PROJECT, once, act)


def _routing(rows: list[Row]) -> Routing:
    if not rows:
        return Routing()
    revision, updated_at, rules = rows[0]
    return Routing(revision, updated_at, msgspec.json.decode(rules, type=list[Rule]))
