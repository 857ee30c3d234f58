"""What the model remembers, and how an act is done whole, or not at all, and once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TypeVar

import msgspec

from clew.core.assistants import Assistant
from clew.core.errors import BadRequest, ClewError, NotFound, Stale
from clew.core.items import Item
from clew.core.threads import Receipt, Thread
from clew.store.once import ANSWERS_KEPT_MS, Once, said
from clew.testing.model.log import Log

T = TypeVar("T")
Scope = tuple[str, str]
"""A project, and the thread a key was used on; '' when the key came with no thread."""


class Answer(msgspec.Struct):
    """What was answered to a key, and the thread it speaks of."""

    first: Once
    answer: bytes
    about: Scope


class Memory:
    """Logs, assistants and answers, and what all verbs stand on."""

    def __init__(self) -> None:
        self._logs: dict[str, dict[str, Log]] = {}
        self._assistants: dict[str, dict[str, Assistant]] = {}
        self._answers: dict[tuple[Scope, str], Answer] = {}

    def _act(
        self, scope: Scope, once: Once | None, act: Callable[[], T], about: str | None = None
    ) -> T:
        """The outcome of an act that is done whole or not at all, and once for each key.

        `about` is the thread that the outcome speaks of, where `scope` does not name it.
        """
        about_thread = scope if about is None else (scope[0], about)
        if once is not None and once.project_wide:
            scope = (scope[0], "")
        self._replay(scope, once)
        was = deepcopy((self._logs, self._assistants)), dict(self._answers)
        try:
            outcome = deepcopy(act())
            if once is not None:
                answer = Answer(once, once.encode(outcome), about_thread)
                self._answers[scope, once.key] = answer
        except BaseException:
            (self._logs, self._assistants), self._answers = was
            raise
        return outcome

    def _replay(self, scope: Scope, once: Once | None) -> None:
        if once is None or (scope, once.key) not in self._answers:
            return
        past = self._answers[scope, once.key]
        if once.now_ms - past.first.now_ms > ANSWERS_KEPT_MS:
            return
        if past.first.fingerprint != once.fingerprint:
            raise ClewError("key_reused", "This key came before with another request.")
        raise said(past.answer)

    def _create(self, project: str, thread: Thread, items: Sequence[Item]) -> Log:
        if any(thread.key in mine for mine in self._logs.values()):
            raise ClewError("conflict", "A thread with this key is there already.")
        log = Log(msgspec.structs.replace(deepcopy(thread), revision=0))
        log.append(items, thread.updated_at)
        self._logs.setdefault(project, {})[thread.key] = log
        return log

    def _fork(self, project: str, log: Log, fork: Thread, seq: int) -> Log:
        if not 0 <= seq <= len(log.items):
            raise BadRequest(f"The thread ends at {len(log.items)}.", "at")
        parent = log.thread.key
        made = self._create(project, fork, log.items[:seq])
        made.erased = {item.id for item in made.items} & log.erased
        made.thread.parent, made.thread.parent_seq = parent, seq
        made.shared = {key: min(seq, count) for key, count in log.shared.items()}
        made.shared[parent] = seq
        return made

    def _erase_thread(self, project: str, thread: str, receipt: Receipt) -> Receipt:
        log = self._logs[project].pop(thread)
        self._answers = {
            key: answer
            for key, answer in self._answers.items()
            if answer.about != (project, thread)
        }
        others = self._logs[project].items()
        kept_by = [key for key, other in others if other.shared.get(thread, 0)]
        return msgspec.structs.replace(
            receipt, items=len(log.shown()), runs=len(log.runs), kept_by=kept_by
        )

    def _erase_answers(self, project: str, thread: str, id: str) -> None:
        """Answers that show something erased say nothing any more."""
        for at, answer in self._answers.items():
            if answer.about == (project, thread) and id.encode() in answer.answer:
                self._answers[at] = msgspec.structs.replace(answer, answer=b"")

    def _log(self, project: str, thread: str, if_revision: int | None = None) -> Log:
        log = self._logs.get(project, {}).get(thread)
        if log is None:
            raise NotFound("thread", thread)
        if if_revision not in (None, log.thread.revision):
            raise Stale(if_revision or 0, log.thread.revision)
        return log
