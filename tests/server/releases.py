"""Other releases of the official client, installed beside the new one, once for all test runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

PYTHON = ("1.109.1", "2.54.0")
"""The last of the 1.x line that the tests know, and one of the 2.x line, which sits on httpx."""

NODE = "7.57.0"

_PIP = [
    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input"),
    *("--disable-pip-version-check", "--root-user-action", "ignore"),
]


def python_client(cache: pytest.Cache, version: str) -> Path:
    """The folder with that Python client and what it needs. Tests fail where it cannot be had."""
    folder = cache.mkdir("clients") / f"openai-{version}-py{sys.version_info.minor}"
    return _installed(folder, [*_PIP, "--target", ".", f"openai=={version}"])


def node_client(cache: pytest.Cache) -> Path:
    """The folder with the Node client. Without Node on the machine the test is skipped; in CI, and
    where Node is but the client cannot be had, it fails."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no Node, so the Node client is untested")
        pytest.skip("no Node and npm on this machine: the Node client is untested")
    folder = cache.mkdir("clients") / f"openai-{NODE}-node"
    options = ["--no-audit", "--no-fund", "--loglevel=error"]
    return _installed(folder, ["npm", "install", *options, f"openai@{NODE}"])


def environment(packages: Path) -> dict[str, str]:
    """An environment whose Python finds these packages first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return kept | {"PYTHONPATH": str(packages)}


def _installed(folder: Path, command: Sequence[str]) -> Path:
    if not folder.exists():
        _fill(folder, command)
    return folder


def _fill(folder: Path, command: Sequence[str]) -> None:
    """Install into a folder of its own, then move it: no half of it is ever found."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        packages = Path(place, "packages")
        packages.mkdir()
        (packages / "package.json").write_text("{}")  # else npm looks for one further up
        done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.fail(f"{command[-1]} cannot be installed, so it is untested:\n{done.stderr}")
        if not folder.exists():
            shutil.move(packages, folder)
