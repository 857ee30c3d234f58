"""`clew demo` plays the whole case, the crash included."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

from ..server.served import CLEW, SECONDS_MAX, bare_environment


def test_the_demo_goes_from_end_to_end(tmp_path: Path):
    """Four turns through two faces, a SIGKILL in the middle of one, and the ticket found again."""
    done = subprocess.run(
        [*CLEW, "demo", "--store", f"sqlite:///{tmp_path}/demo.db"],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert re.search(r"thread thread_\w+", said)
    assert re.search(r"kill -9 \d+", said)
    assert said.count("INV-20391") >= 2
    assert (
        said.index("kill -9") < said.index("taken over and completed") < said.index("responses |")
    )
    assert "T-2093" in said
    assert f"sqlite:///{tmp_path}/demo.db" in said
    assert (tmp_path / "demo.db").exists()


def test_the_demo_may_go_on_serving(tmp_path: Path):
    """With --serve its data can be looked at until Ctrl-C, which ends it with status 0."""
    process = subprocess.Popen(
        [*CLEW, "demo", "--serve"],
        cwd=tmp_path,
        env=bare_environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            assert process.stdout is not None
            found = None
            while found is None:
                line = process.stdout.readline()
                assert line, "the demo ended before it served"
                found = re.search(r"(http://\S+) until Ctrl-C", line)
            with urlopen(f"{found[1]}/v1/threads?metadata[ticket_id]=T-2093") as answer:
                assert answer.status == 200
            # as a terminal does, to the whole group
            subprocess.run(["kill", f"-{signal.SIGINT}", "--", f"-{process.pid}"], check=True)
            assert process.wait(SECONDS_MAX) == 0
        finally:
            process.kill()
