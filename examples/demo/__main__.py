"""The demo: what ferrio changes, in about a minute.

    python -m examples.demo            all parts
    python -m examples.demo chat       one of them

Each part is an example of its own; the heading says how to run it alone. A part that finds something wrong ends the
demo with status 1.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from ..chat import compare as chat
from ..faults import find as faults
from ..scraper import compare as scraper, watched

INTERRUPTED = 130


class Finding(NamedTuple):
    """A row of the last table: what was measured or shown, on asyncio and on ferrio."""

    what: str
    asyncio: str
    uvloop: str
    ferrio: str


class Part(NamedTuple):
    """One part: its title, the command that shows it alone, and the function that does."""

    title: str
    command: str
    show: Callable[[Console, bool], list[Finding]]


def show_chat(console: Console, short: bool) -> list[Finding]:
    """A chat server and its clients, on two loops or three."""
    clients, lines, rounds = (20, 2, 1) if short else (200, 3, 2)
    rates = chat.compare(console, clients, lines, rounds)
    cells = {name: f"{rate:,.0f} ({rate / rates['asyncio']:.2f}x)" for name, rate in rates.items()}
    return [Finding("chat, deliveries per CPU second", cells["asyncio"], cells.get("uvloop", ""), cells["ferrio"])]


def show_crawl(console: Console, short: bool) -> list[Finding]:
    """The crawl of a site that is not well, on two loops."""
    pages = 300 if short else 2000
    options = [f"--pages={pages}", "--rounds=1", "--timeout=1", "--quiet"]
    reports = scraper.compare(console, scraper.build_parser().parse_args(options))
    costs = {name: report["cpu_seconds"] / report["totals"]["discovered"] * 1e6 for name, report in reports.items()}
    cells = {name: f"{cost:,.0f} ({costs['asyncio'] / cost:.2f}x)" for name, cost in costs.items()}
    return [Finding("crawl with aiohttp, CPU µs per page", cells["asyncio"], "", cells["ferrio"])]


def show_top(console: Console, short: bool) -> list[Finding]:
    """A running crawl, from outside."""
    still, tasks = watched.watch(pages=5_000 if short else 20_000)
    console.print("$ ferrio top --groups --sort=count", style="bold", markup=False)
    console.print(still, markup=False, highlight=False, soft_wrap=True, end="")
    return [Finding("a running crawl, seen from outside by ferrio top", "", "", f"{tasks} tasks")]


def show_faults(console: Console, short: bool) -> list[Finding]:
    """Programs that hang or stop answering, and the command that says why."""
    findings = []
    for name in ("two_locks", "blocked_loop") if short else ("two_locks", "hung_child", "blocked_loop"):
        fault = faults.FAULTS[name]
        console.print(f"{name}.py: {fault.what}", markup=False)
        sentence, text = faults.find(name)
        console.print(f"$ ferrio {fault.view}", style="bold", markup=False)
        console.print(
            "".join(f"    {line}\n" for line in text.splitlines()[:8]), markup=False, highlight=False, soft_wrap=True
        )
        findings.append(Finding(f"{name}.py: {fault.what}", "", "", sentence.replace(str(faults.HERE) + "/", "")))
    return findings


def show_schedules(console: Console, short: bool) -> list[Finding]:
    """A race that a test passes, found and replayed."""
    from ..schedules import find as schedules  # needs ferrio

    story, number, passed = schedules.find()
    console.print(story, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Found in schedule {number}; each of {schedules.REPLAYS} replays fails in the same way.")
    console.print(f"The mended pool passes {passed} schedules.")
    return [Finding("a race in a connection pool, found by ferrio.testing", "", "", f"schedule {number}, replayed")]


PARTS = {
    "chat": Part("A chat server and 200 clients", "python -m examples.chat.compare", show_chat),
    "crawl": Part("A crawl of a site that is not well", "python -m examples.scraper.compare", show_crawl),
    "top": Part("The same crawl, from outside", "python -m examples.scraper.watched", show_top),
    "faults": Part("Three programs that stop, and why", "python -m examples.faults.find", show_faults),
    "schedules": Part("A race, found and replayed", "python -m examples.schedules.find", show_schedules),
}


# What the parts raise if they find something wrong.
FAILURES = (chat.PartyError, scraper.CrawlError, watched.NothingToSeeError, faults.NotFoundError)


def summary(findings: Sequence[Finding]) -> Table:
    """Everything the parts have found, once more."""
    table = Table(title="What the demo has shown")
    table.add_column("")
    for name in ("asyncio", "uvloop", "ferrio"):
        table.add_column(name, justify="right", style="bold" if name == "ferrio" else "")
    for finding in findings:
        table.add_row(*finding)
    return table


def main(command_line: Sequence[str] | None = None) -> int:
    """Show the parts, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="What ferrio changes, in a minute.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--short", action="store_true", help="a few seconds: does it run? The figures mean nothing")
    arguments = parser.parse_args(command_line)
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("ferrio") is None:
        parser.error("ferrio is not installed: pip install .")
    console = Console()
    findings: list[Finding] = []
    began = time.monotonic()
    try:
        for number, name in enumerate(arguments.parts or PARTS, 1):
            part = PARTS[name]
            console.rule(f"{number}. {part.title}: [dim]{part.command}[/]")
            findings += part.show(console, arguments.short)
            console.print()
    except KeyboardInterrupt:
        console.print("interrupted")
        return INTERRUPTED
    except FAILURES as failure:
        console.print(str(failure), style="red", markup=False)
        return 1
    console.print(summary(findings))
    console.print(f"[dim]{time.monotonic() - began:.0f} s[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
