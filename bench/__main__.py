"""`python -m bench`: measure, print the table, write the JSON."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench.load import Load
from bench.measure import Row
from bench.pieces import PIECES
from bench.plan import Plan
from bench.report import document, machine, number, table

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 when a piece could not be measured; a missed target is for the reader to judge."""
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as folder:
        plan = Plan(Path(folder).resolve(), options.peers, options.quick, options.ogx)
        load = Load(plan.folder)
        rows, failed = measure(options.only or list(PIECES), plan, load)
    options.json.write_bytes(document(rows, plan, load.name))
    print(summary(rows, plan, load))
    print(f"\nwritten to {options.json}")
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs and small data")
    parser.add_argument(
        "--only", action="append", choices=PIECES, metavar="NAME", help=f"of {', '.join(PIECES)}"
    )
    parser.add_argument("--json", type=Path, default=HERE / "results.json", metavar="FILE")
    parser.add_argument(
        "--dir", type=Path, default=Path(), help="where databases are made, on the disk to measure"
    )
    parser.add_argument(
        "--peers", type=Path, default=Path(".bench-peers"), help="where peers are installed"
    )
    parser.add_argument("--ogx", type=Path, metavar="VENV", help="a venv with OGX, to measure it")
    return parser


def measure(names: Sequence[str], plan: Plan, load: Load) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows of each piece, and the pieces that failed."""
    rows: dict[str, list[Row]] = {}
    failed: list[str] = []
    for name in names:
        print(f"{name} …", file=sys.stderr)
        try:
            for row in PIECES[name](plan, load):
                rows.setdefault(name, []).append(row)
                print(f"  {row.what}: {number(row.figure)} {row.unit}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    return rows, failed


def summary(rows: dict[str, list[Row]], plan: Plan, load: Load) -> str:
    here = machine()
    runs = f"{plan.pairs} interleaved runs, medians; load by {load.name}"
    place = f"{here['system']}, {here['processor']}, {here['cores']} cores"
    every = [row for found in rows.values() for row in found]
    return f"\n{runs}\n{place}, Python {here['python']}\n\n{table(every)}"


if __name__ == "__main__":
    sys.exit(main())
