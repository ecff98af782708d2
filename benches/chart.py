"""Draws the chart of the first page, and writes the figures that pages quote, from the committed report.

    python -m benches.chart            rewrites what is out of date
    python -m benches.chart --check    fails if anything is

A page has its figures between `<!-- figures: NAME -->` and `<!-- end of figures -->`. Nobody types them, so they agree
with the report. The drawing is plain text made here, not a library's, so that it is the same on every machine.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from . import report as reports
from .summary import REPORT, ROOT, WORKLOADS

PAGES = ("README.md", "docs/index.md", "docs/performance.md")
BLOCK = re.compile(r"(<!-- figures: ([a-z]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
HEADLINE = "programs.chat_of_200"

THEMES = {
    "light": {"text": "#1f2328", "faint": "#59636e", "asyncio": "#9aa4ae", "uvloop": "#5a7fa8", "ferrio": "#c1440e"},
    "dark": {"text": "#e6edf3", "faint": "#9198a1", "asyncio": "#6e7781", "uvloop": "#7aa2cf", "ferrio": "#f0743e"},
}
WIDTH, LEFT, RIGHT = 840, 232, 60
BAR, GAP, TOP, BOTTOM = 11, 12, 70, 46


def medians(figures: reports.Figures) -> dict[str, float]:
    """How many times asyncio's work each implementation does, the median of the rounds."""
    found = {reports.STOCK: 1.0}
    for name, ratio in reports.ratios(figures).items():
        if ratio is None:
            raise SystemExit(f"the report has a failure of {name}")
        found[name] = ratio.middle
    return found


def circumstances(report: Mapping[str, Any]) -> str:
    uvloop = report["versions"]["uvloop"]
    rounds = {len(values) for figures in report["figures"].values() for values in figures.values()}
    return (
        f"{report['date']}, {report['machine']}, {report['processors']} processors, Linux, Python {report['python']}, "
        f"uvloop {uvloop}; medians of {min(rounds)}{' or more' * (len(rounds) > 1)} rounds"
    )


def drawing(report: Mapping[str, Any], theme: str) -> str:
    """The chart as SVG."""
    colours, names = THEMES[theme], list(report["figures"])
    height = TOP + len(names) * (3 * BAR + GAP) + BOTTOM
    ratios = {name: medians(report["figures"][name]) for name in names}
    scale = (WIDTH - LEFT - RIGHT) / max(value for row in ratios.values() for value in row.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13" role="img">',
        "<title>Work per CPU second on asyncio, uvloop and ferrio</title>",
        text(0, 20, "Work per CPU second; asyncio = 1", colours["text"], "600", 16),
    ]
    for index, implementation in enumerate(ratios[names[0]]):
        x = LEFT + index * 90
        parts.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{colours[implementation]}"/>')
        parts.append(text(x + 18, 49, implementation, colours["text"]))
    for row, name in enumerate(names):
        y = TOP + row * (3 * BAR + GAP)
        parts.append(text(LEFT - 12, y + 2 * BAR, WORKLOADS[name], colours["text"], anchor="end"))
        for index, (implementation, value) in enumerate(ratios[name].items()):
            top, width = y + index * BAR, value * scale
            parts.append(
                f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 1}" fill="{colours[implementation]}"/>'
            )
            if implementation != reports.STOCK:
                weight = "600" if implementation == "ferrio" else "400"
                label = f"{reports.digits(value, 2)}x"
                parts.append(text(LEFT + width + 5, top + BAR - 1, label, colours["text"], weight, 10))
    parts.append(text(0, height - 22, circumstances(report), colours["faint"], size=11))
    parts.append(text(0, height - 6, "made by: make summary", colours["faint"], size=11))
    return "\n".join([*parts, "</svg>"]) + "\n"


def text(
    x: float, y: float, words: str, colour: str, weight: str = "400", size: int = 13, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-weight="{weight}" font-size="{size}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def headline(report: Mapping[str, Any]) -> str:
    """The one sentence with a number."""
    ratios = medians(report["figures"][HEADLINE])
    pairs = zip(report["figures"][HEADLINE]["ferrio"], report["figures"][HEADLINE]["uvloop"], strict=True)
    over_uvloop = statistics.median(ours / theirs for ours, theirs in pairs)
    over_asyncio = ratios["ferrio"]
    return (
        f"A chat server with 200 clients delivers **{reports.digits(over_asyncio, 2)} times** as many messages per\n"
        f"CPU second as on asyncio, and {reports.digits(over_uvloop, 2)} times as many as on uvloop."
    )


def table(report: Mapping[str, Any]) -> str:
    """All rows, with the spread."""
    rows = [
        f"{circumstances(report)}, quartiles in brackets.",
        "",
        "| work | asyncio, per CPU second | uvloop | ferrio |",
        "|---|--:|--:|--:|",
    ]
    rows += [
        f"| {WORKLOADS[name]} | {' | '.join(reports.cells(report['figures'][name]))} |" for name in report["figures"]
    ]
    return "\n".join(rows)


BLOCKS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "headline": headline,
    "table": table,
}


def made(report: Mapping[str, Any]) -> dict[Path, str]:
    """All files that depend on the report, as they should be."""
    files = {REPORT.with_name(f"summary-{theme}.svg"): drawing(report, theme) for theme in THEMES}
    for page in PAGES:
        path = ROOT / page
        files[path] = BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]](report)}\n{found[3]}", path.read_text())
    return files


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.chart", description="Chart and quoted figures.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail if something is out of date")
    arguments = parser.parse_args()
    stale = [
        path
        for path, content in made(reports.read(str(REPORT))).items()
        if not path.exists() or path.read_text() != content
    ]
    for path in stale:
        if arguments.check:
            print(f"{path.relative_to(ROOT)} does not agree with {REPORT.relative_to(ROOT)}: make chart")
        else:
            path.write_text(made(reports.read(str(REPORT)))[path])
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
