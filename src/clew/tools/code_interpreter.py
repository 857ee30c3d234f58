"""code_interpreter: the model writes Python, and it runs in the thread's own sandbox.

A call becomes a `code_interpreter_call` item: the code, what it printed, what it drew. The sandbox
remembers variables and files between the calls of a thread, as long as it lives; whoever reads the
output is told when it has not lived. Files that code makes in /mnt/data become files of ours, and
so do figures. (Invariant: model code runs in a sandbox or not at all.)
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from clew.core.code_citations import SCHEME, files_of
from clew.core.errors import ClewError
from clew.core.files import File
from clew.store.store import Store
from clew.tools.code_files import FOLDER, CodeFiles, Made, shown
from clew.tools.sandbox import Limits, Sandbox
from clew.tools.sandbox.session import Ended, Ran
from clew.tools.sandbox.sessions import Sessions
from clew.tools.tool import Function, Offer, Place, Tell, ToolError

NAME = "code_interpreter"
TOLD_MAX = 64 * 1024
"""Letters of output that a model reads: the beginning and the end of a longer one."""

_PARAMETERS = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python code to run."}},
    "required": ["code"],
    "additionalProperties": False,
}
_DESCRIPTION = (
    f"Runs Python {platform.python_version()} and returns what it prints. Variables are kept "
    "between calls; the value of a last expression is shown. numpy, pandas and matplotlib are "
    "there if they are installed; there is no network. Figures that are shown or left open are "
    f"shown to the user. Files are in {FOLDER}, and files written there can be given to the user "
    f"as links: [name]({SCHEME}{FOLDER}/name)."
)
_GIBIBYTES = {"1g": 1, "4g": 4, "16g": 16, "64g": 64}


class CodeInterpreter:
    """The Tool. `sandbox` says what code may use; at most `sessions_max` threads have a session
    at a time, and one that is not used for `idle_s` ends."""

    type = NAME
    kind = "code_interpreter_call"
    begun = "interpreting"
    repeats = True

    def __init__(
        self,
        store: Store,
        now: Callable[[], int],
        sandbox: Sandbox | None = None,
        *,
        sessions_max: int = 8,
        idle_s: float = 1_200.0,
    ) -> None:
        self._sandbox = sandbox or Sandbox()
        self._files = CodeFiles(store, now)
        self._sessions = Sessions(self._sandbox, sessions_max, idle_s)

    def problem(self, config: dict[str, Any]) -> tuple[str, str] | None:
        """A sandbox that is not there at all is known at once; that it works is seen when it is
        first offered."""
        missing = self._sandbox.missing()
        if missing is not None:
            return "type", missing
        refused = refusal_of(config, self._sandbox.limits)
        return None if refused is None else ("container", refused)

    async def close(self) -> None:
        """End all sessions; nothing of them is left."""
        await self._sessions.close()

    async def offer(self, place: Place, seen: Sequence[dict[str, Any]]) -> Offer:
        problem = await self._sandbox.problem() or refusal(place, self._sandbox.limits)
        if problem is not None:
            raise ToolError(problem)
        names = await self._files.names(place.project, _file_ids(place))
        told = "".join(f"\n{FOLDER}/{name}" for name in names.values())
        files = f" Files of this conversation:{told}" if told else ""
        return Offer([Function(NAME, _DESCRIPTION + files, _PARAMETERS)])

    def ask(self, place: Place, function: str, arguments: str) -> dict[str, Any]:
        return {
            "type": self.kind,
            "status": "in_progress",
            "container_id": container_of(place),
            "code": _code_in(arguments),
            "outputs": None,
        }

    async def act(self, place: Place, item: dict[str, Any], tell: Tell) -> dict[str, Any]:
        tell("in_progress", {})
        code = item.get("code")
        if code is None:
            return _failed(item, "The arguments must be a JSON object with the string 'code'.")
        tell("code.delta", {"delta": code})
        tell("code.done", {"code": code})
        tell(self.begun, {})
        try:
            done = await self._interpret(place, code)
        except Ended as error:
            return _failed(item, f"The sandbox does not start. {error}")
        except (ToolError, ClewError) as error:
            return _failed(item, error.message)
        tell("completed", {})
        return {**item, "status": "completed", **done}

    def lost(self, item: dict[str, Any]) -> dict[str, Any]:
        return _failed(item, "The server stopped while the code ran. All its state is lost.")

    def told(self, item: dict[str, Any]) -> tuple[str, str, str] | None:
        if item.get("status") not in ("completed", "failed", "incomplete"):
            return None
        arguments = msgspec.json.encode({"code": item.get("code") or ""}).decode()
        return NAME, arguments, _as_read(item)

    async def _interpret(self, place: Place, code: str) -> dict[str, Any]:
        problem = await self._sandbox.problem() or refusal(place, self._sandbox.limits)
        if problem is not None:
            raise ToolError(problem)
        key = place.project, place.thread
        limits = _limits(place, self._sandbox.limits)
        async with self._sessions.held(key, limits) as (seat, session):
            news = [] if seat.news is None else [_lost(seat.news)]
            notes = await self._files.put(place.project, _file_ids(place), seat, session)
            ran = await session.run(code)
            made = Made()
            if ran.ended is None:
                try:
                    await self._files.take(place.project, ran, seat, session, made)
                except Ended as error:
                    ran.ended = str(error)
            return _results(place, ran, made, [*news, *notes])


def container_of(place: Place) -> str:
    """The id of a thread's container: a thread has one, whether it lives or not."""
    return f"cntr_{place.thread}"


def refusal(place: Place, limits: Limits) -> str | None:
    """Why the tool cannot be had as it was asked for."""
    container = place.config.get("container")
    if isinstance(container, str) and container != container_of(place):
        return f"Container '{container}' is not the one of this conversation."
    return refusal_of(place.config, limits)


def refusal_of(config: dict[str, Any], limits: Limits) -> str | None:
    """The same, whatever the conversation."""
    container = config.get("container")
    if isinstance(container, str):
        return None
    asked = container or {}
    policy = asked.get("network_policy") or {}
    if policy.get("type", "disabled") != "disabled":
        return "The sandbox has no network; 'network_policy' can only be 'disabled'."
    memory = asked.get("memory_limit")
    if memory is not None and _GIBIBYTES[memory] * 2**30 > limits.memory_bytes:
        most = limits.memory_bytes // 2**20
        return f"A 'memory_limit' of '{memory}' is more than this server allows ({most} MiB)."
    return None


def _limits(place: Place, limits: Limits) -> Limits:
    container = place.config.get("container")
    memory = container.get("memory_limit") if isinstance(container, dict) else None
    if memory is None:
        return limits
    return msgspec.structs.replace(limits, memory_bytes=_GIBIBYTES[memory] * 2**30)


def _file_ids(place: Place) -> list[str]:
    """The files that the tool's config and the thread name, each once."""
    resources = place.resources.get(NAME) or {}
    container = place.config.get("container")
    asked = container.get("file_ids") if isinstance(container, dict) else None
    return list(dict.fromkeys([*(asked or ()), *(resources.get("file_ids") or ())]))


def _code_in(arguments: str) -> str | None:
    """The code in what a model wrote, who may write it without JSON around it."""
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeError):
        return arguments
    code = found.get("code") if isinstance(found, dict) else found
    return code if isinstance(code, str) else None


def _lost(why: str) -> str:
    return f"This is a new session: what earlier calls had made is lost ({why.lower()})."


def _results(place: Place, ran: Ran, made: Made, notes: list[str]) -> dict[str, Any]:
    """What an item has when the code has run."""
    after = list(made.notes)
    if ran.ended is not None:
        after.append(f"{ran.ended}. The session is over; the next call begins a new one.")
    logs = _notes(notes) + ran.output
    if after:
        logs += "\n" * (bool(logs) and not logs.endswith("\n")) + _notes(after)
    outputs: list[dict[str, Any]] = [{"type": "logs", "logs": logs}] if logs else []
    outputs += map(_image, made.figures)
    container = container_of(place)
    files = [shown(file, path=path, container_id=container) for path, file in made.files]
    return {"outputs": outputs, "files": files}


def _notes(notes: list[str]) -> str:
    return "".join(f"[{note}]\n" for note in notes)


def _image(file: File) -> dict[str, Any]:
    """`url` is where this server has it; the Threads face shows the id."""
    told = shown(file)
    return {"type": "image", "url": f"/v1/files/{told['file_id']}/content", **told}


def _failed(item: dict[str, Any], why: str) -> dict[str, Any]:
    outputs = [*(item.get("outputs") or ()), {"type": "logs", "logs": f"[{why}]\n"}]
    return {"files": [], **item, "status": "failed", "outputs": outputs}


def _as_read(item: dict[str, Any]) -> str:
    """What a call came to, for a model: its output, and what else the user was given."""
    said = [_cut(each["logs"]) for each in item.get("outputs") or () if each["type"] == "logs"]
    for each in item.get("outputs") or ():
        if each["type"] == "image":
            said.append(f"[The figure {each.get('filename') or ''} was shown to the user.]\n")
    for file in files_of(item):
        said.append(f"[{file['path']} was kept: {SCHEME}{file['path']}]\n")
    return "".join(said) or "[There was no output.]"


def _cut(text: str) -> str:
    if len(text) <= TOLD_MAX:
        return text
    half = TOLD_MAX // 2
    return f"{text[:half]}\n[… {len(text) - TOLD_MAX} letters are left out here …]\n{text[-half:]}"
