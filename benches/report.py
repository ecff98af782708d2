"""The results of a run: ratios with their spread, a table, and the changes since an earlier run.

A ratio compares an implementation with stock asyncio in the same round. The report shows the median of all rounds'
ratios and, given enough rounds, the quartiles. A figure that is a text is a failure; a row with one failure has no
ratios.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

STOCK = "asyncio"
FORMAT = 1

# With fewer rounds the quartiles mean nothing, and the figures show only that the workloads run.
ENOUGH_ROUNDS = 3
SMOKE_TEST = "smoke test, not a measurement"

Figures = dict[str, list[float | str]]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as fast as stock asyncio: median and quartiles over the rounds."""

    low: float
    middle: float
    high: float
    rounds: int

    def __str__(self) -> str:
        if self.rounds < ENOUGH_ROUNDS:
            return f"~{digits(self.middle, 2)}"
        return f"{digits(self.middle, 3)} ({digits(self.low, 3)}-{digits(self.high, 3)})"

    @classmethod
    def of(cls, values: list[float | str], base: list[float | str]) -> "Ratio | None":
        pairs = list(zip(values, base, strict=True))
        if not pairs or any(isinstance(value, str) for pair in pairs for value in pair):
            return None
        ratios = sorted(float(value) / float(stock) for value, stock in pairs)
        quarter = len(ratios) // 4
        return cls(ratios[quarter], statistics.median(ratios), ratios[-1 - quarter], len(ratios))


def digits(value: float, significant: int) -> str:
    """The number with as many digits as a measurement supports, without an exponent."""
    whole = len(str(round(value))) if value >= 1 else 1
    return f"{value:.{max(significant - whole, 0)}f}"


def ratios(figures: Figures) -> dict[str, Ratio | None]:
    """The ratio of each implementation except stock's."""
    return {name: Ratio.of(values, figures[STOCK]) for name, values in figures.items() if name != STOCK}


def cells(figures: Figures) -> list[str]:
    """Operations per second of stock asyncio, then the ratios."""
    good = [value for value in figures[STOCK] if isinstance(value, float)]
    median = statistics.median(good) if good and len(good) == len(figures[STOCK]) else None
    if median is None:
        stock = "failed"
    elif len(good) < ENOUGH_ROUNDS:
        stock = f"~{float(f'{median:.2g}'):,.0f}"
    else:
        stock = f"{median:,.0f}"
    return [stock, *(str(ratio) if ratio else "failed" for ratio in ratios(figures).values())]


def line(name: str, figures: Figures) -> str:
    """A row for a terminal."""
    stock, *others = cells(figures)
    return f"{name:<42} {stock:>12}" + "".join(f" {cell:>20}" for cell in others)


def failures(figures: Figures) -> list[tuple[str, str]]:
    """The implementations that failed, each once, with their errors."""
    return sorted({(name, value) for name, values in figures.items() for value in values if isinstance(value, str)})


def processor_model() -> str:
    """The processor's name, where Linux tells it."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def present(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def circumstances(seconds: float, rounds: int) -> dict[str, Any]:
    """The facts about a run that a reader needs to interpret it."""
    return {
        "format": FORMAT,
        "python": sys.version.split()[0],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": processor_model(),
        "versions": {name: importlib.metadata.version(name) for name in ("ferrio", "uvloop") if present(name)},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "seconds": seconds,
        "rounds": rounds,
    }


def sections(names: Iterable[str]) -> dict[str, list[str]]:
    """The workloads of each section, in order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.partition(".")[0], []).append(name)
    return found


def table(report: Mapping[str, Any]) -> str:
    """All rows in Markdown, a table for each section."""
    texts = [
        f"Python {report['python']}, {report['system']}, {report['processors']} processors; "
        f"{report['rounds']} rounds of {report['seconds']} s."
    ]
    if report["rounds"] < ENOUGH_ROUNDS:
        texts.append(f"A {SMOKE_TEST}.")
    for section, names in sections(report["figures"]).items():
        others = [name for name in report["figures"][names[0]] if name != STOCK]
        rows = [f"## {section.replace('_', ' ').capitalize()}", ""]
        rows.append("| workload | asyncio, operations/s | " + " | ".join(others) + " |")
        rows.append("|---|--:|" + "--:|" * len(others))
        for name in names:
            row = [name.partition(".")[2].replace("_", " "), *cells(report["figures"][name])]
            rows.append(f"| {' | '.join(row)} |")
        texts.append("\n".join(rows))
    return "\n\n".join(texts) + "\n"


def read(path: str) -> dict[str, Any]:
    """Reads an earlier report; rejects one in another format."""
    report: dict[str, Any] = json.loads(pathlib.Path(path).read_text())
    if report.get("format") != FORMAT:
        raise SystemExit(f"{path} is not a report of this format")
    return report


def changes(report: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    """Rows for figures that differ from the earlier run by more than both spreads.

    It compares ratios to stock, not times: the machine may have been busier then.
    """
    rows = []
    if report["python"] != earlier["python"]:
        rows.append(f"the earlier run was on Python {earlier['python']}, this one is on {report['python']}")
    if min(report["rounds"], earlier["rounds"]) < ENOUGH_ROUNDS:
        rows.append("with fewer than three rounds there is no spread to tell a change from noise")
    for name, figures in report["figures"].items():
        before = ratios(earlier["figures"].get(name) or {STOCK: []})
        for implementation, now in ratios(figures).items():
            then = before.get(implementation)
            if now is None or then is None or (now.low <= then.high and then.low <= now.high):
                continue
            rows.append(f"{name:<42}{implementation:<14}{now.middle / then.middle:>6.2f}x   {then} -> {now}")
    return rows
