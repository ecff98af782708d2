"""Command line: runs each program on each implementation, in turn, and prints ratios to uvloop."""

import argparse
import importlib.util
import json
import statistics
import sys

from .measuring import Figure, Unavailable, measured
from .programs import PROGRAMS

IMPLEMENTATIONS = ("asyncio", "uvloop", "ferrio-loop", "ferrio")


def compared(figures: list[Figure], base: list[Figure]) -> str:
    """Both ratios, each with half the distance of its quartiles."""
    cells = []
    for of in (Figure.by_clock, Figure.by_processor):
        ratios = sorted(of(figure) / statistics.median(map(of, base)) for figure in figures)
        spread = (ratios[-1 - len(ratios) // 4] - ratios[len(ratios) // 4]) / 2
        cells.append(f"{statistics.median(ratios):>5.2f} ±{spread:.2f}")
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.applications", description=__doc__)
    parser.add_argument("--only", action="append", metavar="WORD", help="programs whose name contains WORD; repeatable")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    arguments = parser.parse_args()
    implementations = [name for name in IMPLEMENTATIONS if importlib.util.find_spec(name.removesuffix("-loop"))]
    base = "uvloop" if "uvloop" in implementations else "asyncio"
    others = [name for name in implementations if name != base]
    print(
        f"{'Python ' + sys.version.split()[0]:<24}{base + '/s':>10}",
        *(f"{name + ': clock, CPU':>26}" for name in others),
    )
    report = {}
    for name in (name for name in PROGRAMS if any(word in name for word in arguments.only or [""])):
        figures: dict[str, list[Figure]] = {implementation: [] for implementation in implementations}
        try:
            for _ in range(arguments.rounds):
                for implementation in implementations:
                    figures[implementation].append(measured(name, implementation, arguments.seconds))
        except Unavailable as why:
            print(f"{name:<24}left out: {why}")
            continue
        median = statistics.median(figure.by_clock() for figure in figures[base])
        print(
            f"{name:<24}{median:>10,.0f}",
            *(f"{compared(figures[other], figures[base]):>26}" for other in others),
            flush=True,
        )
        report[name] = {
            implementation: [figure.__dict__ for figure in each] for implementation, each in figures.items()
        }
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"python": sys.version, "figures": report}, file, indent=1)


if __name__ == "__main__":
    main()
