"""What holds for a server that runs as root holds for one that runs as an ordinary user."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("bubblewrap")

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
MODULES = [str(HERE / name) for name in ("test_escapes.py", "test_session.py")]
USER = "1234"

_SCRIPT = f"""
mount --bind "$1" /mnt && cd "$2" && shift 2 &&
exec setpriv --reuid={USER} --regid={USER} --clear-groups "$@"
"""
"""The interpreter may be in a home that only its owner may enter: it is shown at /mnt, to these
tests alone."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that belongs to the user."""
    with tempfile.TemporaryDirectory(prefix="clew-ordinary-") as place:
        os.chown(place, int(USER), int(USER))
        yield Path(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
def test_all_of_it_holds_for_an_ordinary_user(folder: Path):
    """Sessions work and contain as much when Clew has no privilege to give up."""
    interpreter = Path(os.path.realpath(sys.executable))
    inside = Path("/mnt") / interpreter.relative_to(os.path.realpath(sys.base_prefix))
    packages = [str(ROOT / "src"), *(path for path in sys.path if "site-packages" in path)]
    environment = [
        *("env", "-i", "PATH=/usr/bin:/bin", "LD_LIBRARY_PATH=/mnt/lib", "HOME=/tmp"),
        *("PYTHONDONTWRITEBYTECODE=1", f"PYTHONPATH={':'.join(packages)}"),
    ]
    tests = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/t", *MODULES]
    ordinary = [*environment, str(inside), "-m", "pytest", *tests]
    begin = ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", sys.base_prefix, str(ROOT)]
    done = subprocess.run([*begin, *ordinary], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    if " skipped" in done.stdout:
        pytest.skip("an ordinary user can have no sandbox here (are user namespaces allowed?)")
