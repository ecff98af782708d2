"""Command line: runs rounds in fresh processes and prints ratios to stock asyncio."""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys

from .workload import load, measure


def once(implementation: str, name: str, seconds: float) -> float | str:
    """Operations in a second, or what went wrong."""
    command = [sys.executable, "-m", "benches", "--measure", implementation, name, "--seconds", str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 10 * seconds, check=False)
    except subprocess.TimeoutExpired:
        return "hung"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["crashed"])[-1]
    return float(done.stdout)


def show(name: str, results: dict[str, list[float | str]]) -> str:
    """One line: stock's figure, then ratio and spread (half the distance of the quartiles) of each other."""
    stock = [value for value in results["asyncio"] if isinstance(value, float)]
    cells = [f"{statistics.median(stock):>12,.0f}" if stock else f"{'failed':>12}"]
    for implementation, values in results.items():
        if implementation == "asyncio":
            continue
        good = [value for value in values if isinstance(value, float)]
        if not good or not stock or len(good) < len(values):
            cells.append(f"{'failed':>14}")
            continue
        ratios = sorted(value / statistics.median(stock) for value in good)
        spread = (ratios[-1 - len(ratios) // 4] - ratios[len(ratios) // 4]) / 2
        cells.append(f"{statistics.median(ratios):>8.2f} ±{spread:>4.2f}")
    return f"{name:<42}" + " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches", description="ferrio against stock asyncio")
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="workloads whose name contains WORD; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(*arguments.measure, arguments.seconds))
        return
    others = ("uvloop", "ferrio-loop", "ferrio")
    implementations = ["asyncio", *(name for name in others if importlib.util.find_spec(name.removesuffix("-loop")))]
    names = [name for name in load() if any(word in name for word in arguments.only or [""])]
    print(
        f"{'Python ' + sys.version.split()[0]:<42}{'asyncio/s':>12}", *(f"{name:>14}" for name in implementations[1:])
    )
    report = {}
    for name in names:
        results: dict[str, list[float | str]] = {implementation: [] for implementation in implementations}
        for _ in range(arguments.rounds):
            for implementation in implementations:
                results[implementation].append(once(implementation, name, arguments.seconds))
        report[name] = results
        print(show(name, results), flush=True)
        for implementation, values in results.items():
            for failure in {value for value in values if isinstance(value, str)}:
                print(f"    {implementation}: {failure}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"python": sys.version, "figures": report}, file, indent=1)


if __name__ == "__main__":
    main()
