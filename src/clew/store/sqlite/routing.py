"""The routing rules of a project in SQLite."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from clew.core.errors import NotFound
from clew.core.routing import Routing, Rule, check_revision
from clew.store.once import Once
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.engine import SQL, Engine, text
from clew.store.sqlite.failures import reads


class RoutingVerbs(Engine):
    @reads
    async def get_routing(self, project: str) -> Routing:
        return _read(self.snapshot(), project)

    async def put_routing(
        self,
        project: str,
        rules: Sequence[Rule],
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Routing:
        def act() -> Routing:
            replay(self.db, project, PROJECT, once)
            stands = _read(self.db, project)
            check_revision(stands, if_revision)
            for rule in rules:
                asked = {"project": project, "assistant": rule.assistant}
                if self.db.execute(SQL["get_assistant"], asked).fetchone() is None:
                    raise NotFound("assistant", rule.assistant)
            made = Routing(stands.revision + 1, now_ms, list(rules))
            row = msgspec.structs.asdict(made) | {"project": project, "rules": text(made.rules)}
            self.db.execute(SQL["put_routing"], row)
            record(self.db, project, PROJECT, once, made)
            return made

        return await self.write(act, scrub=True)


def _read(db: apsw.Connection, project: str) -> Routing:
    row = db.execute(SQL["get_routing"], {"project": project}).fetchone()
    if row is None:
        return Routing()
    revision, updated_at, rules = row
    return Routing(revision, updated_at, msgspec.json.decode(rules, type=list[Rule]))
