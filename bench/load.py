"""Load over HTTP: `wrk` where it is installed, else a generator of our own (generator.py)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

SPARE_S = 60
SCRIPT = """
local body = [==[%s]==]
local paths = {%s}
local requests, at = {}, 0
function init()
  local headers = {["content-type"] = "application/json"}
  if body == "" then body, headers = nil, {} end
  for i, path in ipairs(paths) do requests[i] = wrk.format("%s", path, headers, body) end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('{"requests":%%d,"seconds":%%f,"p50_ms":%%f,"failed":%%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, failed))
end
"""


class Requests(msgspec.Struct, frozen=True):
    """What is sent: the same body to each path in turn."""

    method: str
    paths: list[str]
    body: str = ""


class Answers(msgspec.Struct, frozen=True):
    """What came back."""

    requests: int
    seconds: float
    p50_ms: float
    failed: int = 0

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class Load:
    """Sends requests over keep-alive connections from a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "wrk.lua"
        self._wrk = shutil.which("wrk")

    @property
    def name(self) -> str:
        """Who makes the load, and what that does to the figures."""
        if self._wrk:
            return "wrk"
        return "a Python generator (no wrk here: its CPU time lowers the figures of both sides)"

    def run(self, url: str, requests: Requests, connections: int, seconds: int) -> Answers:
        """Load for that long. RuntimeError when an answer was not a success."""
        if self._wrk:
            said = self._run_wrk(url, requests, connections, seconds)
        else:
            said = _generate(url, requests, connections, seconds)
        answers = msgspec.json.decode(said.splitlines()[-1], type=Answers)
        if answers.failed or not answers.requests:
            raise RuntimeError(f"{url}: {answers.failed} of {answers.requests} requests failed")
        return answers

    def _run_wrk(self, url: str, requests: Requests, connections: int, seconds: int) -> str:
        paths = ",".join(f'"{path}"' for path in requests.paths)
        self._script.write_text(SCRIPT % (requests.body, paths, requests.method))
        command = [str(self._wrk), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        return _output([*command, "-s", str(self._script), url], seconds)


def _generate(url: str, requests: Requests, connections: int, seconds: int) -> str:
    generator = str(Path(__file__).parent / "generator.py")
    command = [sys.executable, generator, url, str(connections), str(seconds)]
    return _output(command, seconds, msgspec.json.encode(requests).decode())


def _output(command: list[str], seconds: int, given: str | None = None) -> str:
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=seconds + SPARE_S
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout
