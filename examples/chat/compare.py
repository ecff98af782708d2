"""The chat on asyncio, on uvloop if it is installed, and on ferrio, in turn, and a bar chart of how they compare.

    python -m examples.chat.compare

Each party has a process of its own. They take turns for a few rounds, and the median of each counts. What counts is
deliveries per second of processor time, server and clients together: a busy machine changes that least. Each party
checks that every client has heard everything, in order; if one has not, the exit status is 1.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .__main__ import INTERRUPTED, at_least

ROOT = Path(__file__).resolve().parents[2]
# Shown to the user as they are, so that everybody can repeat them.
RUNS = {
    "asyncio": ["-m", "examples.chat"],
    "uvloop": ["-m", "examples.chat", "--loop=uvloop"],
    "ferrio": ["-m", "ferrio", "-m", "examples.chat"],
}
BAR = 40


class PartyError(Exception):
    """One of the parties came to no good end."""


def party(name: str, clients: int, lines: int) -> dict[str, Any]:
    """Run one of them and read its figures."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        command = [sys.executable, *RUNS[name], f"--clients={clients}", f"--lines={lines}", f"--json={file}"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise PartyError(f"the chat on {name} ended with status {done.returncode}\n{done.stdout}")
        figures: dict[str, Any] = json.loads(file.read_text())
    if not figures["loop"].startswith(f"{name}."):
        raise PartyError(f"the chat on {name} ran on {figures['loop']}")
    return figures


def chart(rates: dict[str, float]) -> Table:
    """A bar for each loop, as long as its rate."""
    result = Table(title="Chat: deliveries per CPU second", show_header=False, box=None)
    longest = max(rates.values())
    for name, rate in rates.items():
        bar = "█" * max(round(BAR * rate / longest), 1)
        style = "bold bright_red" if name == "ferrio" else "blue" if name == "uvloop" else "dim"
        result.add_row(name, f"[{style}]{bar:<{BAR}}[/]", f"{rate:,.0f}", f"{rate / rates['asyncio']:.2f}x")
    return result


def compare(console: Console, clients: int, lines: int, rounds: int) -> dict[str, float]:
    """The median rate of each loop, after its chart has been shown."""
    names = [name for name in RUNS if name == "asyncio" or importlib.util.find_spec(name)]
    if "uvloop" not in names:
        console.print("[dim]uvloop is not installed, so it is left out[/]")
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            if not number:
                console.print(f"[bold]{name}[/]: python {' '.join(RUNS[name])}")
            figures = party(name, clients, lines)
            rates[name].append(figures["per_cpu_second"])
    medians = {name: statistics.median(values) for name, values in rates.items()}
    console.print(chart(medians))
    console.print(f"[green]{clients} clients, {figures['deliveries']:,} deliveries a run, each checked.[/]")
    return medians


def main(command_line: Sequence[str] | None = None) -> int:
    """Compare, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.chat.compare", description="A chat on three loops.")
    parser.add_argument("--clients", type=at_least(2), default=200, help="in the chat (default: %(default)s)")
    parser.add_argument("--lines", type=at_least(1), default=3, help="each of them says (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="on each loop (default: %(default)s)")
    arguments = parser.parse_args(command_line)
    if importlib.util.find_spec("ferrio") is None:
        parser.error("ferrio is not installed: pip install .")
    console = Console()
    try:
        compare(console, arguments.clients, arguments.lines, arguments.rounds)
    except KeyboardInterrupt:
        console.print("interrupted")
        return INTERRUPTED
    except PartyError as failure:
        console.print(str(failure), style="red", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
