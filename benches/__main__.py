"""Command line: runs rounds in fresh processes, prints ratios to stock asyncio and writes the report."""

import argparse
import importlib.util
import json
import pathlib
import subprocess
import sys

from . import plot, report
from .workload import CLOCKS, load, measure

OTHERS = ("uvloop", "ferrio-loop", "ferrio")


def once(implementation: str, name: str, seconds: float, clock: str = "elapsed") -> float | str:
    """Operations per second, or an error message."""
    command = [sys.executable, "-m", "benches", "--measure", implementation, name, "--seconds", str(seconds)]
    command += ["--clock", clock]
    # On a busy machine a second of processor time takes many.
    limit = (60 + 10 * seconds) * (1 if clock == "elapsed" else 10)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return "hung"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["crashed"])[-1]
    return float(done.stdout)


def measured(names: list[str], rounds: int, seconds: float) -> dict[str, report.Figures]:
    """Measures all figures, the implementations in turn; prints each row as soon as it is complete."""
    implementations = [
        report.STOCK,
        *(name for name in OTHERS if importlib.util.find_spec(name.removesuffix("-loop"))),
    ]
    if rounds < report.ENOUGH_ROUNDS:
        print(report.SMOKE_TEST)
    head = f"{'Python ' + sys.version.split()[0]:<42} {'asyncio/s':>12}"
    print(head + "".join(f" {name:>20}" for name in implementations[1:]))
    found = {}
    for name in names:
        figures: report.Figures = {implementation: [] for implementation in implementations}
        for _ in range(rounds):
            for implementation in implementations:
                figures[implementation].append(once(implementation, name, seconds))
        found[name] = figures
        print(report.line(name, figures), flush=True)
        for implementation, failure in report.failures(figures):
            print(f"    {implementation}: {failure}")
    return found


def write(result: dict[str, object], directory: pathlib.Path) -> None:
    """Writes the report, the table and, if matplotlib is installed, the plots."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(json.dumps(result, indent=1) + "\n")
    (directory / "table.md").write_text(report.table(result))
    drawn = bool(importlib.util.find_spec("matplotlib")) and bool(plot.draw(result, directory))
    print(f"report.json and table.md{' and plots' if drawn else ''} are in {directory}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches", description="ferrio against stock asyncio")
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="workloads whose name contains WORD; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement")
    parser.add_argument("--quick", action="store_true", help="the first workload of each section, one short round")
    parser.add_argument("--output", metavar="DIRECTORY", type=pathlib.Path, help="for report.json, table.md and plots")
    parser.add_argument("--baseline", metavar="FILE", help="an earlier report.json: print what has changed since")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--clock", choices=CLOCKS, default="elapsed", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        implementation, name = arguments.measure
        print(measure(implementation, name, arguments.seconds, arguments.clock))
        return 0
    earlier = report.read(arguments.baseline) if arguments.baseline else None
    names = [name for name in load() if any(word in name for word in arguments.only or [""])]
    if not names:
        parser.error("no workload has such a name")
    if arguments.quick:
        names = [of_section[0] for of_section in report.sections(names).values()]
        arguments.rounds, arguments.seconds = 1, 0.02
    figures = measured(names, arguments.rounds, arguments.seconds)
    result = {**report.circumstances(arguments.seconds, arguments.rounds), "figures": figures}
    if arguments.output:
        write(result, arguments.output)
    if earlier:
        print("\nchanged by more than the spread of both runs:")
        print("\n".join(report.changes(result, earlier)) or "nothing")
    # A workload that uvloop does not support is a blank in the table; one that ferrio does not support is a failure.
    failed = {name for of_one in figures.values() for name, _ in report.failures(of_one)} - {"uvloop"}
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
