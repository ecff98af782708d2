"""The figures of the first page: measures a few workloads by their own processor time, for the chart.

    python -m benches.summary                          measures them, into docs/figures/summary.json

Processor time instead of elapsed time: each row then says how much work a processor does in a second, which is what a
loop can change, and a busy machine changes it least. Servers whose own Python code does most of the work are not here:
`make instructions` and docs/performance.md have them.
"""

import argparse
import json
import sys
from pathlib import Path

from . import report
from .__main__ import once

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "figures" / "summary.json"
IMPLEMENTATIONS = (report.STOCK, "uvloop", "ferrio")

# What is measured, and what readers see. The first row is the one that `make demo` measures too.
WORKLOADS = {
    "programs.chat_of_200": "chat server and 200 clients",
    "streams.lines_to_and_fro": "stream: a line there and back",
    "queues.unbounded": "queue: put and get",
    "synchronization.lock_of_hundred_tasks": "lock shared by 100 tasks",
    "tasks.create_and_await": "task created and awaited",
    "waiting.task_group_of_thousand": "task group of 1,000",
    "tasks.timeout_not_reached": "timeout that is not reached",
    "executors.to_thread_one_by_one": "to_thread, call after call",
    "scheduling.call_soon_chain": "call_soon",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.summary", description="The figures of the first page.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    parser.add_argument("--only", action="append", metavar="WORD", help="rows whose name contains WORD; repeatable")
    parser.add_argument("--output", metavar="FILE", type=Path, default=REPORT)
    arguments = parser.parse_args()
    words = arguments.only or [""]
    names = [name for name in WORKLOADS if any(word in name for word in words)]
    found: dict[str, report.Figures] = {}
    for name in names:
        found[name] = {implementation: [] for implementation in IMPLEMENTATIONS}
        for _ in range(arguments.rounds):
            for implementation in IMPLEMENTATIONS:
                found[name][implementation].append(once(implementation, name, arguments.seconds, "processor"))
        print(report.line(name, found[name]), flush=True)
        for implementation, failure in report.failures(found[name]):
            print(f"    {implementation}: {failure}")
    result = {**report.circumstances(arguments.seconds, arguments.rounds), "clock": "processor", "figures": found}
    if any(report.failures(figures) for figures in found.values()):
        return 1
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
