"""An old release of the official client, installed beside the new one, once for all test runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

VERSION = "1.109.1"
PIP_INSTALL = [
    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input"),
    *("--disable-pip-version-check", "--root-user-action", "ignore"),
]


def install(cache: pytest.Cache) -> Path:
    """The folder with the old client and what it needs. The tests fail where it cannot be had."""
    folder = cache.mkdir("old-clients") / f"openai-{VERSION}-py{sys.version_info.minor}"
    if not folder.exists():
        _fill(folder)
    return folder


def _fill(folder: Path) -> None:
    """Install into a folder of its own, then move it: no half of it is ever found."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        done = subprocess.run(
            [*PIP_INSTALL, "--target", f"{place}/packages", f"openai=={VERSION}"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode:
            pytest.fail(f"openai {VERSION} cannot be installed, so it is untested:\n{done.stderr}")
        if not folder.exists():
            shutil.move(f"{place}/packages", folder)


def environment(packages: Path, *more: Path) -> dict[str, str]:
    """An environment whose Python finds the old client first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, [packages, *more]))}
