"""A `clew serve` process: started, asked, stopped or killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLEW = [sys.executable, "-m", "clew"]
SECONDS_MAX = 30
"""How long a start or a stop may take before it is called a failure."""


def bare_environment(**more: str) -> dict[str, str]:
    """This environment without settings of Clew or of the client, and with `more`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLEW_", "OPENAI_")) and not name.lower().endswith("_proxy")
    }
    return kept | more


class Served:
    """The process, and the URL it says it listens on."""

    def __init__(
        self,
        *flags: str,
        folder: Path,
        environment: dict[str, str] | None = None,
        command: Sequence[str] = CLEW,
    ):
        self.process = subprocess.Popen(
            [*command, "serve", *flags],
            cwd=folder,
            env=environment or bare_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        found = re.fullmatch(r"clew listening on (http://(\S+):(\d+))\n", self.first_line)
        assert found, f"clew serve said {self.first_line!r}, not where it listens"
        self.url, self.host, self.port = found[1], found[2], int(found[3])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS_MAX)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving(*flags: str, folder: Path, **options: Any) -> Iterator[Served]:
    """A server that is gone afterwards, however it went."""
    served = Served(*flags, folder=folder, **options)
    try:
        yield served
    finally:
        served.close()
