"""What happens in the model to what comes while a run is active."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from msgspec.structs import replace

from clew.core.errors import Busy
from clew.core.items import Item
from clew.core.runs import Run, move
from clew.testing.model.log import Log, Waiting
from clew.testing.model.memory import Memory


class Lines(Memory):
    """What both the verbs of items and those of runs stand on."""

    def _arrive(
        self,
        project: str,
        log: Log,
        policy: str,
        items: Sequence[Item],
        now_ms: int,
        run: Run | None = None,
    ) -> Run:
        """The run that the newcomers are part of. The active one may have ended afterwards."""
        key = log.thread.active_run
        assert key is not None
        if policy == "reject":
            raise Busy(log.thread.key, key)
        active = log.run(key)
        log.check_ids(items)
        steers = policy == "steer" and active.status in ("queued", "in_progress")
        interrupts = policy in ("interrupt", "rollback")
        if interrupts:
            status = "cancelled" if active.status == "requires_action" else "cancelling"
            cut = active if active.status == "cancelling" else move(active, status, now_ms)
            cut = replace(cut, withdrawn=active.withdrawn or policy == "rollback")
            if cut.is_terminal:
                log.thread.active_run = None
                self._withdraw(project, log, cut)
                log.put(cut)
                return run or active
            log.put(cut)
        joins = None if run is None or steers else run.key
        log.join(Waiting(deepcopy(list(items)), joins, steers), first=interrupts)
        log.change(now_ms)
        if run is None or steers:
            return active
        log.put(replace(deepcopy(run), place=1))
        return log.run(run.key)

    def _withdraw(self, project: str, log: Log, run: Run) -> None:
        """Take the items of a run that is withdrawn out of the log, and out of answers."""
        if not run.withdrawn:
            return
        erased = {
            item.id
            for item in log.shown()
            if item.seq >= run.first_seq and (item.seq <= run.input_seq or item.run == run.key)
        }
        erased |= log.summaries_of(run.first_seq)
        log.erased |= erased
        for id in erased:
            self._erase_answers(project, run.thread, id)
