"""Command line of the upstream suites; see README.md."""

import argparse
import collections
import sys
from collections.abc import Sequence
from typing import Any

from . import compare, suites


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("suites", nargs="*", default=[*suites.SUITES], metavar="SUITE", help="anyio, uvicorn, aiohttp")
    parser.add_argument("--mode", action="append", choices=suites.MODES[1:], help="whole or loop; both by default")
    parser.add_argument("--test", action="append", default=[], help="a test file or id within the suite; repeatable")
    parser.add_argument("-j", "--workers", type=int, default=2, help="processes of pytest-xdist")
    arguments = parser.parse_args()
    faults = 0
    for name in arguments.suites:
        if name not in suites.SUITES:
            parser.error(f"no suite {name!r}")
        suite = suites.SUITES[name]
        stock = suites.run(suite, "stock", arguments.workers, tuple(arguments.test))
        print(f"{name} {suites.version(suite)} stock: {figures(stock)}", flush=True)
        for mode in arguments.mode or suites.MODES[1:]:
            faults += judge(suite, mode, stock, arguments.workers, arguments.test)
    return 1 if faults else 0


def figures(outcomes: dict[str, Any]) -> str:
    counts = collections.Counter(outcome["what"] for outcome in outcomes.values())
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def judge(suite: suites.Suite, mode: str, stock: dict[str, Any], workers: int, chosen: Sequence[str]) -> int:
    """Runs the suite in one mode and prints how it compares; the number of unexpected differences."""
    ours = suites.run(suite, mode, workers, tuple(chosen))
    print(f"{suite.name} {suites.version(suite)} {mode}: {figures(ours)}")
    on_ferrio = sum("ferrio" in outcome["loops"] for outcome in ours.values())
    print(f"    {on_ferrio} tests had a ferrio loop made for them")
    reasons = compare.expected(suite.name)
    differing = list(compare.worse(stock, ours))
    suspects = [test for test in differing if not any(entry.names(test, mode) for entry in reasons)]
    faults: list[str] = []
    if suspects:
        # Alone, one after the other: what fails only in a crowd is the suite's own haste, on stock as well.
        ids = tuple(suspects)
        again = suites.run(suite, mode, 0, ids)
        once_more = suites.run(suite, "stock", 0, ids)
        faults = list(compare.worse(once_more, again))
        ours.update(again)
    both = sum(stock[test]["what"] not in compare.GOOD for test in stock if test in ours) - len(
        compare.better(stock, ours)
    )
    print(f"    {both} fail on both, {len(compare.better(stock, ours))} on stock alone")
    print(
        f"    {len(differing)} differ: {len(differing) - len(suspects)} expected, {len(faults)} faults, rest unsteady"
    )
    for test in faults:
        lines = ours[test]["detail"].strip().splitlines() if test in ours else []
        told = [line for line in lines if line.startswith("E ")] or lines[-1:] or ["did not run"]
        print(f"        {test}  {told[0].strip()}")
    sys.stdout.flush()
    if not on_ferrio and not chosen:
        print("    no test had a ferrio loop: the run says nothing")
        return 1
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
