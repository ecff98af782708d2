"""Distinct schedules a second: ferrio.testing beside other tools that run asyncio programs under many schedules.

    python -m benches.schedules

The program has three tasks that each wait for ten jobs of an executor, one after the other: 5.6 million million orders
in which the answers may come. It notes the order itself, so that each tool is judged by the same measure: how many
different orders the program has seen for each second of processor time. Tools that are not installed are left out.
"""

import argparse
import asyncio
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

# Taken before a tool replaces it.
processor_time = time.process_time

TOOLS = ("ferrio", "detangle", "seedloop", "simloom", "simloop")

MANY = 10_000_000


class Orders:
    """The orders that the program has seen. After `seconds` the process prints how many, and ends."""

    def __init__(self, seconds: float) -> None:
        self.seen: set[str] = set()
        self.runs = 0
        self.began = processor_time()
        self.seconds = seconds

    def note(self, order: str) -> None:
        self.seen.add(order)
        self.runs += 1
        passed = processor_time() - self.began
        if passed > self.seconds:
            print(self.runs / passed, len(self.seen) / passed, flush=True)
            os._exit(0)

    async def program(self, *_: Any) -> None:
        order: list[str] = []

        async def work(name: str) -> None:
            loop = asyncio.get_running_loop()
            for _ in range(10):
                await loop.run_in_executor(None, int)
                order.append(name)

        await asyncio.gather(work("a"), work("b"), work("c"))
        self.note("".join(order))


def explore(tool: str, program: Callable[..., Any]) -> None:
    """Explore until the program ends the process."""
    module: Any = importlib.import_module("ferrio.testing" if tool == "ferrio" else tool)
    if tool == "ferrio":
        print(module.explore(program, schedules=MANY, progress=False))
    elif tool == "detangle":
        module.explore(program, runs=MANY)
    elif tool == "seedloop":
        module.check(program, seeds=MANY)
    elif tool == "simloom":
        module.explore(program, runs=MANY)
    else:
        module.explore(program, range(MANY))


def measured(tool: str, seconds: float) -> tuple[float, float] | str:
    """Runs and distinct orders for each second of processor time, or why there are none."""
    command = [sys.executable, "-m", "benches.schedules", "--measure", tool, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 30 * seconds, check=False)
    try:
        runs, distinct = map(float, done.stdout.split())
    except ValueError:
        return (done.stderr.strip().splitlines() or [done.stdout.strip() or "printed nothing"])[-1]
    return runs, distinct


def main() -> None:
    """Measure each tool in a process of its own, three times, and print the medians."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=5.0, help="of processor time, for each tool")
    arguments.add_argument("--measure", choices=TOOLS, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.measure:
        explore(given.measure, Orders(given.seconds).program)
        return
    installed = [tool for tool in TOOLS if importlib.util.find_spec(tool) is not None]
    outcomes: dict[str, list[tuple[float, float] | str]] = {tool: [] for tool in installed}
    for _ in range(3):
        for tool in installed:
            outcomes[tool].append(measured(tool, given.seconds))
    print(f"{'tool':<12} {'runs/s':>10} {'distinct/s':>12}")
    for tool, several in outcomes.items():
        figures = sorted(outcome for outcome in several if not isinstance(outcome, str))
        if figures:
            runs, distinct = figures[len(figures) // 2]
            print(f"{tool:<12} {runs:>10,.0f} {distinct:>12,.0f}")
        else:
            print(f"{tool:<12} {several[0]}")


if __name__ == "__main__":
    main()
