"""LangGraph's SQLite checkpointer: appends per second, one after the other, on a thread of a given
length. Runs in the peer's own venv, with the saver's own settings (WAL, synchronous=FULL).
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from statistics import median

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph


def appends_per_second(graph, messages: int, appends: int, text: str) -> float:
    config = {"configurable": {"thread_id": uuid.uuid4().hex}}

    def add(count: int) -> None:
        added = [HumanMessage(text) for _ in range(count)]
        graph.update_state(config, {"messages": added}, as_node="reply")

    def seconds() -> float:
        began = time.perf_counter()
        add(1)
        return time.perf_counter() - began

    add(messages)
    return 1 / median(seconds() for _ in range(appends))


def main() -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("reply", lambda state: {})
    builder.add_edge(START, "reply")
    with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
        graph = builder.compile(checkpointer=saver)
        for line in sys.stdin:
            how = json.loads(line)
            print(appends_per_second(graph, how["messages"], how["appends"], how["text"]))
            sys.stdout.flush()


main()
