"""The `clew` command: one file per verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from clew.core.errors import ClewError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0, 1 for a refusal, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.verb(options))
    except ClewError as error:
        print(f"clew: {error.message}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clew", description="Conversation threads that you own.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    serve = verbs.add_parser("serve", help="serve the API on HTTP")
    serve.add_argument("--store", metavar="URL", help="sqlite:///clew.db or postgresql://…")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (8787); 0 picks a free one")
    serve.add_argument("--upstream", metavar="URL", help="a model server")
    serve.add_argument(
        "--upstream-kind", metavar="KIND", help="openai-compatible, openai-responses or anthropic"
    )
    serve.add_argument("--script", metavar="FILE", help="rules for the scripted model")
    serve.add_argument("--config", metavar="FILE", help="settings file (clew.toml)")
    serve.set_defaults(verb=_serve)
    demo = verbs.add_parser("demo", help="one support case through both faces, with a crash")
    demo.add_argument("--serve", action="store_true", help="keep serving until Ctrl-C")
    demo.add_argument("--store", metavar="URL", help="where to keep the data (a new SQLite file)")
    demo.set_defaults(verb=_demo)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from clew.cli.config import environment, load_config
    from clew.cli.serve import serve

    flags = {
        "store": options.store,
        "host": options.host,
        "port": options.port,
        "upstream_url": options.upstream,
        "upstream_kind": options.upstream_kind,
        "script": options.script,
    }
    return serve(load_config(flags, environment(), options.config))


def _demo(options: argparse.Namespace) -> int:
    from clew.cli.demo import demo

    status: int = demo(options.store, keep_serving=options.serve)
    return status
