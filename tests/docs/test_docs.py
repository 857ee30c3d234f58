"""The documentation is true: its code runs, its links lead somewhere, its tables are complete."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from clew.cli.config import Config
from clew.core.errors import CODES

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "tools").glob("*.md")),
]
ADDRESS = "http://127.0.0.1:8787"
"""Where the pages expect the server; the tests put the real one there."""

CLEW = [sys.executable, "-c", "import sys; from clew.cli import main; sys.exit(main())"]
STRICT = [
    *("-W", "error"),
    *("-W", "ignore:The Assistants API is deprecated:DeprecationWarning"),
    *("-W", "ignore:deprecated:DeprecationWarning"),
]
"""Warnings are errors, but for the client's own about the Threads calls."""

SECONDS_MAX = 60
SETTINGS = msgspec.structs.asdict(Config())


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page's fenced blocks in a language, in order."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def with_blocks(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


def by_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `clew serve` that runs for these tests, on a fresh database."""
    process = subprocess.Popen(
        [*CLEW, "serve", "--port", "0"],
        cwd=tmp_path_factory.mktemp("server"),
        env=bare_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            said = process.stdout.readline()
            found = re.fullmatch(r"clew listening on (http://\S+)\n", said)
            assert found, f"clew serve said {said!r}, not where it listens"
            yield found[1]
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS_MAX) == 0
        finally:
            process.kill()


def bare_environment() -> dict[str, str]:
    """This environment without settings of Clew or of the client."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLEW_", "OPENAI_")) and not name.lower().endswith("_proxy")
    }


def run(command: list[str], folder: Path) -> str:
    """What a command prints; its errors when it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", with_blocks("python"), ids=by_name)
def test_the_python_on_a_page_runs(page: Path, server: str, tmp_path: Path):
    """The Python of a page, from top to bottom, does what the page says, without a warning."""
    program = "\n".join(blocks(page, "python")).replace(ADDRESS, server)
    run([sys.executable, *STRICT, "-c", program], tmp_path)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("page", with_blocks("sh"), ids=by_name)
def test_the_shell_commands_on_a_page_run(page: Path, server: str, tmp_path: Path):
    """The curl commands of a page are answered with success, one after the other."""
    refusing = 'curl() { command curl --fail-with-body --max-time 20 "$@"; }\n'
    commands = "\n".join(blocks(page, "sh")).replace(ADDRESS, server)
    run(["sh", "-euc", refusing + commands], tmp_path)


def test_the_readme_shows_both_faces_of_one_thread(server: str, tmp_path: Path):
    """The first program of the README reads the question and the answer back by the other API."""
    program = blocks(ROOT / "README.md", "python")[0].replace(ADDRESS, server)
    said = run([sys.executable, *STRICT, "-c", program], tmp_path)
    assert "user Why was I charged? Invoice INV-77.\n" in said
    answer = said.partition("\n")[0]
    assert answer
    assert f"assistant {answer}" in said


def test_the_readme_has_a_working_call_by_line_25():
    """A stranger sees how to use it on the first screen."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25]
    assert any("make demo" in line for line in lines)
    assert any("clew serve" in line for line in lines)
    assert any("conversations.items.list(" in line for line in lines)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_link_on_a_page_leads_somewhere(page: Path):
    """A relative link names a file that exists, and a heading in it when it names one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{by_name(page)} links to {target}"
        assert not anchor or anchor in headings(file), f"{by_name(page)} links to {target}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_can_be_reached_from_the_readme():
    """Whoever follows links from the README finds every page."""
    seen: set[Path] = set()
    next_pages = [ROOT / "README.md"]
    while next_pages:
        page = next_pages.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)\s#:]+\.md)", page.read_text(encoding="utf-8"))
        next_pages += [(page.parent / link).resolve() for link in links]
    assert [by_name(page) for page in PAGES if page not in seen] == []


def test_every_error_is_documented_as_it_is():
    """docs/errors.md has each code, with its status and type, and no other."""
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| `(\w+)` \|", text, re.MULTILINE)
    assert {kind: (int(status), type) for kind, status, type in rows} == CODES


def test_every_setting_is_documented_with_its_default():
    """docs/configuration.md has each setting's variable, key and default, and no other."""
    rows = re.findall(r"^\|[^|]*\| `CLEW_(\w+)` \| `(\w+)` \| (\S+) \|", configuration(), re.M)
    defaults = {name: "none" if value is None else f"`{value}`" for name, value in SETTINGS.items()}
    assert {key: default for _, key, default in rows} == defaults
    assert [variable.lower() for variable, _, _ in rows] == [key for _, key, _ in rows]


def test_every_flag_of_serve_is_documented(tmp_path: Path):
    """The flags `clew serve --help` shows are those docs/configuration.md lists."""
    flags = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    shown = set(flags.findall(run([*CLEW, "serve", "--help"], tmp_path)))
    assert shown - {"--help"} == set(flags.findall(configuration()))


def configuration() -> str:
    return (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_every_target_of_make_is_shown_by_help():
    """`make help` lists every target a person would type."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    described = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(described) == sorted(phony[1].split())
