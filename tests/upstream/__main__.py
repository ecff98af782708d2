"""Command line of the upstream suites; see README.md."""

import argparse
import collections
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import compare, suites


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("suites", nargs="*", default=[*suites.SUITES], metavar="SUITE", help=", ".join(suites.SUITES))
    parser.add_argument("--mode", action="append", choices=suites.MODES[1:], help="whole or loop; both by default")
    parser.add_argument("--test", action="append", default=[], help="a test file or id within the suite; repeatable")
    parser.add_argument("-j", "--workers", type=int, default=2, help="processes of pytest-xdist")
    parser.add_argument("--version", action="append", default=[], metavar="SUITE=VERSION", help="or SUITE=newest")
    arguments = parser.parse_args()
    for pair in arguments.version:
        suites.choose_version(*pair.split("=", 1))
    rows: list[Row] = []
    not_run = 0
    for name in arguments.suites:
        if name not in suites.SUITES:
            parser.error(f"no suite {name!r}")
        suite = suites.SUITES[name]
        try:
            stock = suites.run(suite, "stock", arguments.workers, tuple(arguments.test))
        except LookupError as reason:
            print(f"{name} cannot be run: {reason}", flush=True)
            not_run += 1
            continue
        print(f"{name} {suites.version(suite)} stock: {figures(stock)}", flush=True)
        for mode in arguments.mode or suites.MODES[1:]:
            rows.append(judge(suite, mode, stock, arguments.workers, arguments.test))
    print(table(rows))
    return 1 if not_run or any(row.faults for row in rows) else 0


class Row(NamedTuple):
    """How one suite's run in one mode compares with its run on stock asyncio: numbers of tests."""

    suite: str
    mode: str
    tests: int
    passed: int
    fail_on_both: int
    fail_on_stock: int
    expected: int
    unsteady: int
    faults: int


def table(rows: Sequence[Row]) -> str:
    """All suites in one table, in Markdown."""
    heads = [field.replace("_", " ") for field in Row._fields]
    lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def figures(outcomes: dict[str, Any]) -> str:
    counts = collections.Counter(outcome["what"] for outcome in outcomes.values())
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def judge(suite: suites.Suite, mode: str, stock: dict[str, Any], workers: int, chosen: Sequence[str]) -> Row:
    """Runs the suite in one mode and prints how it compares; the unexpected differences are faults."""
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
    better = len(compare.better(stock, ours))
    both = sum(stock[test]["what"] not in compare.GOOD for test in stock if test in ours) - better
    print(f"    {both} fail on both, {better} on stock alone")
    print(
        f"    {len(differing)} differ: {len(differing) - len(suspects)} expected, {len(faults)} faults, rest unsteady"
    )
    for test in faults:
        lines = ours[test]["detail"].strip().splitlines() if test in ours else []
        shown = [line for line in lines if line.startswith("E ")] or lines[-1:] or ["did not run"]
        print(f"        {test}  {shown[0].strip()}")
    sys.stdout.flush()
    if not on_ferrio and not chosen:
        print("    no test had a ferrio loop: the run says nothing")
        faults.append("no test had a ferrio loop")
    return Row(
        f"{suite.name} {suites.version(suite)}",
        mode,
        tests=len(ours),
        passed=sum(outcome["what"] == "passed" for outcome in ours.values()),
        fail_on_both=both,
        fail_on_stock=better,
        expected=len(differing) - len(suspects),
        unsteady=len(suspects) - len(faults),
        faults=len(faults),
    )


if __name__ == "__main__":
    sys.exit(main())
