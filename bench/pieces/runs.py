"""What a turn costs that is written down step by step, and how many go on at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from bench.load import Load
from bench.measure import Row, at_most, interleave
from bench.pieces.relay import Requests, completion, python, read, response, run, sides
from bench.plan import Plan
from bench.servers import Server

TOGETHER = 200
MODEL_MS = 1_000


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    with ExitStack() as stack:
        upstream = stack.enter_context(python("bench.upstream", plan.folder))
        clew, proxy = sides(stack, plan, f"{upstream.url}/v1")
        yield from overhead(plan, clew, proxy)
        yield together(plan, clew)


def overhead(plan: Plan, clew: Server, proxy: Server) -> Iterator[Row]:
    """Turns one after the other: how much longer a whole one takes than its bytes through a proxy,
    from the request to the last event. The model takes no time."""
    model, times = "chunks-1-0", plan.scaled(200, 20)
    assistant = clew.post("/v1/assistants", {"model": model})["id"]

    def p50(server: Server, requests: Requests) -> float:
        return median(read(plan, server, requests, times, "--one-by-one").whole_ms)

    for face, ours in (("Responses", response(model)), ("Threads", run(assistant))):
        here, there = interleave(
            plan.pairs,
            lambda ours=ours: p50(clew, ours),  # type: ignore[misc]
            lambda: p50(proxy, completion(model)),
        )
        added = [own - bare for own, bare in zip(here, there, strict=True)]
        what = f"executor overhead of a {face} turn, model of 0 ms, p50"
        yield Row(what, "ms", added, target=at_most(5, of="figure"))


def together(plan: Plan, clew: Server) -> Row:
    """Runs that begin at once, each on a thread of its own, against a model that takes a second:
    the time to the end of the last one, beside that second."""
    runs = plan.scaled(TOGETHER, 20)
    assistant = clew.post("/v1/assistants", {"model": f"chunks-1-{MODEL_MS}"})["id"]
    took = [read(plan, clew, run(assistant), runs).seconds for _ in range(plan.pairs)]
    what = f"{runs} runs at once, model of {MODEL_MS / 1000:g} s, to the end of the last"
    ideal = [MODEL_MS / 1000] * len(took)
    return Row(what, "s", took, "the model alone", ideal, at_most(1.3))
