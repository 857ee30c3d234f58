"""The house rules that a reader relies on: arrows, names, sizes, purity, one list of queries."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "clew"

PURE = {"core", "context", "wire"}
ARROWS = {
    "core": set(),
    "context": {"core"},
    "wire": {"core"},
    "store": {"core"},
    "providers": {"core"},
    "tools": {"core", "store"},
    "executor": {"core", "context", "store", "providers", "tools"},
    "access": {"core", "store"},
    "evals": {"core", "context", "store", "executor"},
    "server": {"core", "wire", "store", "executor", "access"},
    "inspector": {"core", "store", "evals"},
    "testing": {"core", "store", "providers"},
}
"""Room -> the rooms it may import, besides itself. `cli` and the front door `clew` wire the others
together, so they may import everything; nothing may import them."""

WIRING = {"cli", ""}
"""`""` stands for the modules beside the rooms: `clew/__init__.py` and what it opens."""

IMPURE = {
    "asyncio", "concurrent", "ctypes", "datetime", "glob", "http", "httpx2", "io", "logging",
    "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib.request", "uuid", "uvicorn", "uvloop", "apsw", "psycopg", "psycopg_pool",
}  # fmt: skip
"""Clock, chance, files, network, threads: what a pure room gets as a parameter or not at all."""

IMPURE_BUILTINS = {"open", "input", "print"}
ALLOWED_IMPURITY = {("core.ids", "os")}
"""New ids need chance: `core.ids` takes `os.urandom`, and nothing else, from `os`."""

NOUNS = """Project ApiKey Thread Item Run Step Call Assistant Prompt Window Tool File VectorStore
Score Dataset Experiment Policy Hold Receipt Event""".split()

FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "managers", "manager", "models"}

MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

NODES = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path: Path) -> str:
    """`core.ids` for src/clew/core/ids.py, `core` for its __init__, "" for clew/__init__.py."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(SRC.rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def room(module: str) -> str:
    """The room a module is in; `""` when it stands beside them."""
    first = module.partition(".")[0]
    return first if (SRC / first).is_dir() else ""


def imported(module: str, *, at_import: bool = False) -> Iterator[tuple[str, int]]:
    """Full names a module imports, with their lines; only what runs at import when asked."""
    for node in at_import_time(tree(module)) if at_import else ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(module, node)
            for alias in node.names:
                yield f"{source}.{alias.name}", node.lineno


def absolute(module: str, node: ast.ImportFrom) -> str:
    """The module an import names, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = ["clew", *module.split(".")] if module else ["clew"]
    up = node.level - (MODULES[module].name == "__init__.py")
    return ".".join([*package[: len(package) - up], *filter(None, [node.module])])


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those in functions and under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*NODES, ast.Lambda)) or is_type_checking(child):
            continue
        yield child
        yield from at_import_time(child)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def ours(name: str) -> str | None:
    """The module of ours a full name leads to, or None: `clew.core.ids.new_key` -> `core.ids`."""
    if name != "clew" and not name.startswith("clew."):
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


def where(module: str, line: int) -> str:
    return f"{MODULES[module].relative_to(ROOT)}:{line}"


def broken_arrows() -> Iterator[str]:
    for module in MODULES:
        here = room(module)
        for name, line in imported(module):
            target = ours(name)
            if target is None or here in WIRING or room(target) in {here, *ARROWS.get(here, ())}:
                continue
            yield f"{where(module, line)} imports {name}, which {here} may not see"


def test_every_room_imports_only_where_its_arrow_points():
    """A module imports from its own room and from the rooms its arrow points at."""
    assert list(broken_arrows()) == []


def test_every_room_is_in_the_design():
    """A folder of src/clew is a room of the design; nothing else is one."""
    rooms = {path.name for path in SRC.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert rooms - ARROWS.keys() - WIRING == set()
    assert rooms >= {"core", "context", "wire", "store", "providers", "executor", "server", "cli"}


def test_no_module_imports_itself_in_a_circle():
    """What modules import while they are being imported has no cycle."""
    graph = {
        module: {
            target
            for name, _ in imported(module, at_import=True)
            if (target := ours(name)) not in (None, module)
        }
        for module in MODULES
    }
    assert cycle_in(graph) is None


def cycle_in(graph: dict[str, set[str]]) -> list[str] | None:
    """One circle of the graph, first node repeated at the end, or None."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str] | None:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        found = (visit(next, [*path, node]) for next in sorted(graph[node]))
        circle = next(filter(None, found), None)
        done.add(node)
        return circle

    return next(filter(None, (visit(node, []) for node in sorted(graph))), None)


def test_a_circle_of_imports_would_be_found():
    """The search for circles finds one, names it, and lets a diamond pass."""
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle_in({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) is None


def impurities() -> Iterator[str]:
    for module in MODULES:
        if room(module) not in PURE:
            continue
        for name, line in imported(module):
            source = next(
                (bad for bad in IMPURE if name == bad or name.startswith(bad + ".")), None
            )
            if source and (module, source) not in ALLOWED_IMPURITY:
                yield f"{where(module, line)} imports {name}: {room(module)} is pure"
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in IMPURE_BUILTINS:
                    yield f"{where(module, node.lineno)} calls {node.func.id}()"
            elif isinstance(node, NODES[1]):
                yield f"{where(module, node.lineno)} is async: {room(module)} is pure"


def test_pure_rooms_touch_no_clock_chance_file_or_network():
    """Modules of core, context and wire turn values into values."""
    assert list(impurities()) == []


def test_ids_take_nothing_from_os_but_randomness():
    """The one impurity allowed in core is os.urandom; a forked process forgets what it took."""
    used = {
        node.attr
        for node in ast.walk(tree("core.ids"))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "os"
    }
    assert used == {"urandom", "register_at_fork"}


def test_every_noun_is_in_the_glossary():
    """docs/glossary.md has one line for each noun of the design."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    defined = re.findall(r"^\| \*\*(\w+)\*\* \|", text, re.MULTILINE)
    assert sorted(defined) == sorted(set(defined)), "a noun is defined twice"
    assert [noun for noun in NOUNS if noun not in defined] == []


def test_no_module_is_too_long():
    """A module that nears 600 lines is split by noun."""
    sizes = {name: path.read_text("utf-8").count("\n") for name, path in MODULES.items()}
    assert {name: lines for name, lines in sizes.items() if lines > MODULE_LINES_MAX} == {}


def test_no_function_is_too_long():
    """A function fits on one screen."""
    sizes = {
        f"{where(module, node.lineno)} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, NODES)
    }
    assert {name: lines for name, lines in sizes.items() if lines > FUNCTION_LINES_MAX} == {}


def test_no_file_is_named_after_nothing():
    """A file is named after its noun, not after the drawer it was put in."""
    paths = [path for top in ("src", "tests", "bench") for path in (ROOT / top).rglob("*")]
    names = {path.relative_to(ROOT).as_posix() for path in paths if path.suffix in ("", ".py")}
    drawers = [name for name in names if FORBIDDEN & set(re.split(r"[_/.]", name))]
    assert sorted(drawers) == []


def test_every_module_says_what_it_is():
    """A module with code in it begins with a docstring."""
    silent = [name for name in MODULES if tree(name).body and not ast.get_docstring(tree(name))]
    assert silent == []


def queries(engine: str) -> dict[str, str]:
    """Query name -> description in an engine's queries; each name once."""
    paths = sorted((SRC / "store" / engine / "queries").glob("*.sql"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    found = re.findall(r"^-- name: (\w+)\n((?:-- .*\n)*)", text, re.MULTILINE)
    assert found, f"{engine} names no query"
    assert len(found) == len(dict(found)), f"{engine} names a query twice"
    return dict(found)


ONE_ENGINE = {
    "sqlite": {
        "insert_metadata", "delete_metadata", "erased_threads", "insert_completion_metadata",
        "delete_completion_metadata", "find_completion_number", "index_chunks", "unindex_chunks",
        "find_waiting", "get_holder", "insert_bits",
    },
    "postgres": {
        "append_items", "find_items_up", "find_items_down", "lock_assistant", "lock_lineage",
        "find_completion_answer", "lock_upload", "lock_vector_store", "flush_words", "find_taken",
        "change_items", "create_vectors", "lock_webhook", "lock_routing",
    },
}  # fmt: skip
"""What the other engine has no counterpart for: SQLite indexes metadata and words in
tables of their own, erases large threads in steps, and passes over unwanted items in Python;
PostgreSQL appends for many in one statement, locks rows, looks for an answer without claiming its
key, and saves round trips: many ids or items go with one statement, and what a read may want of two
tables comes with one."""


def test_both_engines_have_the_same_queries():
    """Who knows a query of one engine finds it in the other under the same name."""
    shared = [set(queries(engine)) - only for engine, only in ONE_ENGINE.items()]
    assert shared[0] == shared[1]
    assert all(only <= set(queries(engine)) for engine, only in ONE_ENGINE.items())


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_every_query_is_described(engine: str):
    """The line under a query's name says what it is for."""
    assert [name for name, description in queries(engine).items() if not description] == []
