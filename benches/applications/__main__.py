"""Command line: runs each program on each implementation, in turn, and prints ratios to uvloop."""

import argparse
import importlib.util
import json
import statistics
import sys
from collections.abc import Callable

from .measuring import Figure, Unavailable, measured
from .programs import PROGRAMS

IMPLEMENTATIONS = ("asyncio", "uvloop", "ferrio-loop", "ferrio")


Value = Callable[[Figure], float | None]


def rate_and_latencies() -> tuple[Value, ...]:
    """What is compared; more is better."""
    return (
        Figure.by_clock,
        Figure.by_processor,
        lambda figure: 1 / figure.latency if figure.latency else None,
        lambda figure: 1 / figure.first_byte if figure.first_byte else None,
    )


def compared(figures: list[Figure], base: list[Figure]) -> str:
    """The ratios to `base`; the first two with half the distance of their quartiles."""
    cells: list[str] = []
    for of in rate_and_latencies():
        ours, theirs = ([value for value in map(of, each) if value] for each in (figures, base))
        if not ours or not theirs:
            continue
        ratios = sorted(value / statistics.median(theirs) for value in ours)
        spread = (ratios[-1 - len(ratios) // 4] - ratios[len(ratios) // 4]) / 2
        cells.append(f"{statistics.median(ratios):>5.2f}" + (f" ±{spread:.2f}" if len(cells) < 2 else ""))
    return " ".join(cells)


def compare(name: str, connections: int, implementations: list[str], arguments: argparse.Namespace) -> object:
    """Measures one program, in turn on each implementation, and prints its row; the first one is the base."""
    figures: dict[str, list[Figure]] = {implementation: [] for implementation in implementations}
    title = f"{name} {connections}" if PROGRAMS[name].load else name
    try:
        for _ in range(arguments.rounds):
            for implementation in implementations:
                figures[implementation].append(measured(name, implementation, arguments.seconds, connections))
    except Unavailable as why:
        print(f"{title:<24}left out: {why}", flush=True)
        return None
    base, *others = figures.values()
    median = statistics.median(map(Figure.by_clock, base))
    print(f"{title:<24}{median:>10,.0f}", *(f"{compared(other, base):>38}" for other in others), flush=True)
    return {implementation: [vars(figure) for figure in each] for implementation, each in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.applications", description=__doc__)
    parser.add_argument("--only", action="append", metavar="WORD", help="programs whose name contains WORD; repeatable")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--connections", default="10,100", metavar="N,…", help="to servers, for each a row")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    arguments = parser.parse_args()
    installed = [name for name in IMPLEMENTATIONS if importlib.util.find_spec(name.removesuffix("-loop"))]
    base = "uvloop" if "uvloop" in installed else "asyncio"
    implementations = [base, *(name for name in installed if name != base)]
    print(
        f"{'Python ' + sys.version.split()[0]:<24}{base + '/s':>10}",
        *(f"{name + ': clock, CPU, p99, first byte':>38}" for name in implementations[1:]),
    )
    report = {}
    for name in (name for name in PROGRAMS if any(word in name for word in arguments.only or [""])):
        numbers = map(int, arguments.connections.split(",")) if PROGRAMS[name].load else [1]
        report[name] = {number: compare(name, number, implementations, arguments) for number in numbers}
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"python": sys.version, "figures": report}, file, indent=1)


if __name__ == "__main__":
    main()
