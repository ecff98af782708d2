"""Command line: counts each row on this build and on the baseline, and prints both with their ratio."""

import argparse
import json
import pathlib
import shutil
import sys

from .counting import Count, Unavailable, counted
from .rows import NAMES

IMPLEMENTATIONS = ("ferrio", "ferrio-loop", "ferrio-watched", "ferrio-inspected", "asyncio")
COLUMNS = f"{'baseline':>10}{'ratio':>8}"
HEAD = f"{'instructions an operation':<28}{'all':>10}{COLUMNS}{'_ferrio':>12}{COLUMNS}"


def ratio(now: float, before: float) -> str:
    """A ratio with four digits: counts are reproducible to a thousandth. "-" if nothing was counted."""
    return f"{now / before:.3f}" if before else "-"


def line(name: str, now: Count, before: Count | None) -> str:
    if before is None:
        return f"{name:<28}{now.whole:>10,.0f}{'':>18}{now.extension:>12,.0f}"
    return (
        f"{name:<28}{now.whole:>10,.0f}{before.whole:>10,.0f}{ratio(now.whole, before.whole):>8}"
        f"{now.extension:>12,.0f}{before.extension:>10,.0f}{ratio(now.extension, before.extension):>8}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.instructions", description="instructions an operation")
    parser.add_argument("--baseline", metavar="PYTHON", help="interpreter of an environment with the build to compare")
    parser.add_argument("--only", action="append", metavar="WORD", help="rows whose name contains WORD; repeatable")
    parser.add_argument("--implementation", choices=IMPLEMENTATIONS, default="ferrio")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write all figures")
    arguments = parser.parse_args()
    names = [name for name in NAMES if any(word in name for word in arguments.only or [""])]
    if not names:
        parser.error("no row has such a name")
    if missing := [program for program in ("valgrind", "setarch", "cc") if shutil.which(program) is None]:
        parser.error(f"not installed: {', '.join(missing)}")
    print(HEAD)
    figures: dict[str, dict[str, Count | None]] = {}
    for name in names:
        try:
            now = counted(sys.executable, arguments.implementation, name)
            before = counted(arguments.baseline, arguments.implementation, name) if arguments.baseline else None
        except Unavailable as why:
            print(f"{name:<28}left out: {why}")
            continue
        print(line(name, now, before), flush=True)
        figures[name] = {"now": now, "baseline": before}
    if arguments.json:
        of_all = {name: {of: vars(count) for of, count in each.items() if count} for name, each in figures.items()}
        arguments.json.write_text(json.dumps({"python": sys.version, "figures": of_all}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
