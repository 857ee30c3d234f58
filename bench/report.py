"""The table people read and the JSON machines read."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bench.measure import Row, Target
from bench.plan import Plan

HEADINGS = ["what", "figure", "limit or peer", "ratio", "target", "", "compared with"]
SIGNS = {"at least": "≥", "at most": "≤"}
VERDICTS = {True: "holds", False: "MISSES", None: "-"}
NOTHING = "-"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table of the rows."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADINGS))]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(_line(line, widths) for line in ruled)


def cells(row: Row) -> list[str]:
    """What a row's columns say."""
    return [
        row.what,
        f"{number(row.figure)} {row.unit}",
        NOTHING if row.limit is None else f"{number(row.limit)} {row.unit}",
        NOTHING if row.ratio is None else f"{number(row.ratio)} x",
        NOTHING if row.target is None else target(row.target, row.unit),
        VERDICTS[row.holds],
        row.compared_with,
    ]


def number(value: float) -> str:
    """Three digits that count; whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def target(target: Target, unit: str) -> str:
    of = "x" if target.of == "ratio" else unit
    return f"{SIGNS[target.bound]} {target.value:g} {of}"


def document(rows: dict[str, list[Row]], plan: Plan, load: str) -> bytes:
    """The run as JSON: the machine, then every row with its single runs."""
    pieces = [as_json(piece, row) for piece, found in rows.items() for row in found]
    whole = {"machine": machine(), "quick": plan.quick, "load": load, "rows": pieces}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def as_json(piece: str, row: Row) -> dict[str, Any]:
    judged = {"figure": row.figure, "limit": row.limit, "ratio": row.ratio, "holds": row.holds}
    return {"piece": piece, **judged, **msgspec.to_builtins(row)}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "clew": version("clew"),
    }


def processor() -> str:
    """The processor's name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _line(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
    return f"| {' | '.join(padded)} |"
