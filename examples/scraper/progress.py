"""The live progress bar: a task of its own that looks at the crawler ten times a second.

It shares the loop with the crawl, so a bar that moves smoothly says that nothing holds up the loop.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .crawler import Crawler
from .report import Outcome

PERIOD = 0.1


def describe(crawler: Crawler) -> str:
    """The outcomes so far, in one short line."""
    outcomes = crawler.outcomes
    return (
        f"[green]{outcomes[Outcome.OK]} ok[/] [red]{outcomes[Outcome.FAILED]} failed[/] "
        f"[yellow]{outcomes[Outcome.TIMED_OUT]} timed out[/] [dim]{outcomes[Outcome.SKIPPED]} skipped[/]"
    )


@contextlib.asynccontextmanager
async def progress_bar(crawler: Crawler, console: Console) -> AsyncIterator[None]:
    """Show a bar while the block runs. Its total grows with every link that is found."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[counts]}"), TimeElapsedColumn())
    # Without auto_refresh rich starts no thread: the loop does the drawing.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = progress.add_task("crawl", total=None, counts="")

        def draw() -> None:
            total = len(crawler.pages) or None
            progress.update(bar, completed=crawler.outcomes.total(), total=total, counts=describe(crawler))
            progress.refresh()

        async def keep_drawing() -> None:
            while True:
                draw()
                await asyncio.sleep(PERIOD)

        drawing = asyncio.create_task(keep_drawing(), name="progress bar")
        try:
            yield
        finally:
            drawing.cancel()
            draw()
