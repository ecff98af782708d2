"""The same scraper, unchanged, on ferrio and then on stock asyncio.

    python -m examples.scraper.compare

Both crawl the same embedded site, one after the other, each in a process of its own. They take turns for a few
rounds, and the best round of each counts, because other programs may use the machine as well. Beside the throughput
the table shows how much processor time a page took, which is what a loop can change: waiting is part of the
throughput too. Both must have seen the same pages and the same errors, else the exit status is 1.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .__main__ import INTERRUPTED, at_least
from .embedded import ROOT, EmbeddedSite, embedded_site

# Shown to the user as they are, so that everybody can repeat them.
RUNS = {
    "ferrio": ["-m", "ferrio", "-m", "examples.scraper"],
    "asyncio": ["-m", "examples.scraper"],
}
# Short enough for the hanging pages to be given up while the crawl is still busy with others.
TIMEOUT = 0.25


class CrawlError(Exception):
    """One of the crawls came to no good end."""


def crawl(name: str, site: EmbeddedSite, concurrency: int, timeout: float, *, quiet: bool) -> dict[str, Any]:
    """Run one of the two and read its report."""
    site.reset()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        options = [f"--url={site.url}", f"--timeout={timeout}", f"--concurrency={concurrency}", f"--json={file}"]
        command = [sys.executable, *RUNS[name], *options, f"--max-pages={sys.maxsize}", *["--quiet"] * quiet]
        with subprocess.Popen(command, cwd=ROOT) as process:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                process.wait()  # Ctrl-C went to both; let the crawl stop cleanly
                raise
        if status:
            raise CrawlError(f"the crawl on {name} ended with status {status}")
        report: dict[str, Any] = json.loads(file.read_text())
    if not report["loop"].startswith(name):
        raise CrawlError(f"the crawl on {name} ran on {report['loop']}")
    return report


def check_same_endings(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Complain if a page ended differently. How many attempts it took may differ: that is the weather."""

    def endings(report: dict[str, Any]) -> dict[str, tuple[str, int, str]]:
        return {page["url"]: (page["outcome"], page["status"], page["reason"]) for page in report["pages"]}

    ours, theirs = endings(left), endings(right)
    urls = sorted(ours.keys() | theirs.keys())
    different = [f"{url}: {ours.get(url)} and {theirs.get(url)}" for url in urls if ours.get(url) != theirs.get(url)]
    if different:
        raise CrawlError("\n".join([f"{len(different)} pages ended differently:", *different[:20]]))


def table(reports: dict[str, dict[str, Any]]) -> Table:
    """What both saw, and how they compare."""
    result = Table(title="The same crawl on two loops")
    result.add_column("")
    for name in reports:
        result.add_column(name, justify="right")
    result.add_column("ferrio : asyncio", justify="right", style="bold")
    for what in ("discovered", "ok", "failed", "timed out", "skipped"):
        result.add_row(what, *(str(report["totals"][what]) for report in reports.values()))
    result.add_section()
    measures: dict[str, Callable[[dict[str, Any]], float]] = {
        "seconds": lambda report: report["seconds"],
        "CPU µs per page": lambda report: report["cpu_seconds"] / report["totals"]["discovered"] * 1e6,
        "pages per second": lambda report: report["pages_per_second"],
    }
    for what, measure in measures.items():
        values = {name: measure(report) for name, report in reports.items()}
        shown = [f"{value:.2f}" if what == "seconds" else f"{value:.0f}" for value in values.values()]
        result.add_row(what, *shown, f"{values['ferrio'] / values['asyncio']:.2f}")
    return result


def compare(console: Console, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The best report of each loop, after they have been shown; raises CrawlError if they have not seen the same."""
    reports: dict[str, dict[str, Any]] = {}
    with embedded_site(arguments.pages, arguments.seed) as site:
        for rounds in range(arguments.rounds):
            for name, command in RUNS.items():
                console.print(f"[bold]{name}, round {rounds + 1}[/]: python {' '.join(command)}")
                report = crawl(
                    name, site, arguments.concurrency, arguments.timeout, quiet=arguments.quiet or rounds > 0
                )
                check_same_endings(report, next(iter(reports.values()), report))
                reports[name] = min(report, reports.get(name, report), key=lambda each: each["seconds"])
                console.print(f"{report['pages_per_second']:.0f} pages/s\n")
    console.print(table(reports))
    console.print("[green]Both saw the same pages and the same errors.[/]")
    return reports


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(prog="python -m examples.scraper.compare", description="Crawl on two loops.")
    parser.add_argument("--pages", type=at_least(1), default=10000, help="size of the site (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="chooses another site of that size (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least(1), default=2, help="crawls on each loop (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help="seconds for one attempt at a page (default: %(default)s)"
    )
    parser.add_argument("--concurrency", type=at_least(1), default=100, help="pages at a time (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars and no tables of the single crawls")
    return parser


def main(command_line: Sequence[str] | None = None) -> int:
    """Crawl on both and compare."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    if importlib.util.find_spec("ferrio") is None:
        parser.error("ferrio is not installed: pip install .")
    console = Console()
    try:
        compare(console, arguments)
    except KeyboardInterrupt:
        console.print("interrupted")
        return INTERRUPTED
    except CrawlError as failure:
        console.print(str(failure), style="red", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
