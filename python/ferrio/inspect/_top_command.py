"""The command `ferrio top`: a live screen on a terminal, one still in a pipe."""

import argparse
import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ferrio.inspect import _top
from ferrio.inspect._client import Failed, ask, find
from ferrio.inspect._model import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

# The process spends at most this share of its time on being watched.
_SHARE = 0.2

_HELP = "q quits · sort by p place, a age, n name, s state, c count, w where · r backwards · g groups · space pauses"


def _positive(text: str) -> float:
    value = float(text)
    if not 0.05 <= value <= 3600:
        raise ValueError(text)
    return value


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `ferrio top`."""
    parser.add_argument(
        "--interval", type=_positive, default=1.0, metavar="SECONDS", help="between samples (default: 1; at least 0.05)"
    )
    parser.add_argument(
        "--sort",
        choices=sorted(_top.ORDER_NAMES),
        default="place",
        help="the order (default: place, the longest in the same place first)",
    )
    parser.add_argument("--groups", action="store_true", help="tasks in the same place as one row")
    parser.add_argument("--rows", type=int, default=30, metavar="N", help="of a still in a pipe (default: 30)")
    parser.add_argument("--once", action="store_true", help="one still, on a terminal too")


def _look(path: "Path") -> Snapshot:
    return ask(path, {"view": "snapshot"})  # type: ignore[return-value]


class _Settings:
    """What the keys change."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.order: str = _top.ORDER_NAMES[options.sort]
        self.groups: bool = options.groups
        self.backwards = False
        self.paused = False
        self.ended = False

    def press(self, key: str) -> None:
        """What a key does."""
        if key in _top.ORDERS:
            self.order = key
        elif key == "r":
            self.backwards = not self.backwards
        elif key == "g":
            self.groups = not self.groups
        elif key == " ":
            self.paused = not self.paused
        elif key in ("q", "\x03", "\x04", ""):
            self.ended = True

    def rows(self, sample: _top.Sample) -> list[_top.Row]:
        rows = _top.grouped(sample["rows"]) if self.groups else sample["rows"]
        return _top.ordered(rows, self.order, backwards=self.backwards)


def lines(options: argparse.Namespace) -> Iterator[str]:
    """What the command prints. The live screen prints nothing that remains."""
    path = find(options.process)
    settings = _Settings(options)
    if options.json or options.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        sample = _two_samples(path, options.interval)
        rows = settings.rows(sample)
        if options.json:
            yield json.dumps({**sample, "rows": rows})
        else:
            yield from _top.still(sample, rows, max(options.rows, 0))
        return
    try:
        import rich  # noqa: F401
    except ImportError:
        raise Failed("a live screen needs rich: pip install 'ferrio[inspect]'; --once shows a still") from None
    message = _screen(path, options.interval, settings)
    if message:
        yield message


def _two_samples(path: "Path", interval: float) -> _top.Sample:
    watch = _top.Watch()
    first = watch.sample(_look(path))
    # Not asyncio: the command looks at a program, it is none. A still needs two looks, to say what has changed.
    select.select((), (), (), max(interval, first["took"] / _SHARE))
    return watch.sample(_look(path))


def _screen(path: "Path", interval: float, settings: _Settings) -> str:
    """Shows samples until a key ends it, or the process ends; returns what is left to say."""
    from rich.live import Live

    watch = _top.Watch()
    sample = watch.sample(_look(path))
    with _keys() as descriptor, Live(screen=True, auto_refresh=False) as live:
        while not settings.ended:
            live.update(_drawn(sample, settings, live.console.size.height), refresh=True)
            due = time.monotonic() + max(interval, sample["took"] / _SHARE)
            while not settings.ended and (left := due - time.monotonic()) > 0:
                if select.select((descriptor,), (), (), left)[0]:
                    for key in os.read(descriptor, 64).decode(errors="replace") or ("",):
                        settings.press(key)
                    live.update(_drawn(sample, settings, live.console.size.height), refresh=True)
            if settings.paused or settings.ended:
                continue
            try:
                sample = watch.sample(_look(path))
            except Failed as failure:
                if os.path.exists(f"/proc/{sample['pid']}"):
                    raise
                return f"process {sample['pid']} has ended ({failure})"
    return ""


@contextlib.contextmanager
def _keys() -> Iterator[int]:
    """Keys arrive one by one and are not echoed, until the block ends."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    except KeyboardInterrupt:
        pass
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _drawn(sample: _top.Sample, settings: _Settings, height: int) -> Any:
    """The screen as rich draws it; nothing of the program's text is taken as markup."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = settings.rows(sample)
    order = f"by {_top.ORDERS[settings.order][0]}{', backwards' if settings.backwards else ''}"
    heading = [*sample["heading"], f"{_top.changes(sample)}, {order}{', PAUSED' if settings.paused else ''}"]
    table = Table(box=None, expand=True, header_style="bold reverse", pad_edge=False)
    for name in _top.COLUMNS:
        table.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if name in ("tasks", "same place", "age") else "left",
            # Names and numbers keep their widths; the two last columns share what is left.
            max_width=32 if name == "task" else None,
            ratio={"waits for": 2, "where": 3}.get(name),
        )
    colours = {"running": "green", "ready": "yellow", "waiting": ""}
    for row in rows[: max(height - len(heading) - 3, 1)]:
        table.add_row(*(Text(cell) for cell in _top.cells(row)), style=colours[row["state"]])
    lines = [Text(line, no_wrap=True, style="bold red" if line.startswith("DEADLOCK") else "") for line in heading]
    return Group(*lines, table, Text(_HELP, style="dim", no_wrap=True))
