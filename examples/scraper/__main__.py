"""The command line of the scraper.

    python -m examples.scraper                          crawl the embedded site on asyncio's own loop
    python -m ferrio -m examples.scraper                the same program, unchanged, on ferrio
    python -m examples.scraper --url https://…          crawl a real site
    python -m examples.scraper.compare                  crawl the embedded site on both, one after the other

Exit status: 0 when the crawl is complete, 2 for a mistake on the command line, 130 after Ctrl-C.
"""

import argparse
import asyncio
import contextlib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

try:
    from rich.console import Console

    from .crawler import Crawler, Settings
    from .embedded import embedded_site
    from .progress import progress_bar
    from .report import Report
except ModuleNotFoundError as error:
    sys.exit(f"the scraper needs {error.name}: pip install aiohttp rich")

INTERRUPTED = 130


def at_least(minimum: int) -> Callable[[str], int]:
    """A whole number from the command line that must not be too small."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"not a whole number: {text!r}") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {value}")
        return value

    return convert


def seconds(text: str) -> float:
    """A length of time from the command line."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text!r}") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
    return value


def web_address(text: str) -> str:
    """A URL that can be crawled."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(f"not an http or https address: {text!r}")
    return text if parts.path else f"{text}/"


def writable_file(text: str) -> Path:
    """A path in a folder that exists: better to find out now than after the crawl."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write to {text!r}")
    return path


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.scraper",
        description="Crawl a site concurrently and report on every page; by default an embedded one, without network.",
    )
    add = parser.add_argument
    add("--url", type=web_address, help="crawl this site and stay on its host (default: the embedded site)")
    add("--pages", type=at_least(1), default=3000, help="size of the embedded site (default: %(default)s)")
    add("--seed", type=int, default=1, help="chooses another embedded site of that size (default: %(default)s)")
    add("--max-pages", type=at_least(1), help="fetch no more pages than that (default: 500 with --url, else no limit)")
    add("--concurrency", type=at_least(1), default=50, help="how many pages at the same time (default: %(default)s)")
    add("--timeout", type=seconds, help="seconds for one attempt at a page (default: 10 with --url, else 1)")
    add("--retries", type=at_least(0), default=2, help="further attempts after a failure (default: %(default)s)")
    add("--json", type=writable_file, metavar="FILE", help="write the full report there")
    add("--quiet", action="store_true", help="no progress bar and no tables")
    add("--loop", choices=["auto", "asyncio", "ferrio"], default="auto", help="which event loop (default: the usual)")
    return parser


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop of that name. None leaves the choice to Python, or to `python -m ferrio`."""
    if name == "auto":
        return None
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("ferrio").new_event_loop
    return factory


async def run(start: str, settings: Settings, console: Console) -> Report:
    """Crawl, with a progress bar, and report."""
    crawler = Crawler(start, settings)
    try:
        async with progress_bar(crawler, console):
            await crawler.crawl()
    except asyncio.CancelledError:
        # On Ctrl-C asyncio cancels this, the main task. By now all visits have stopped. Swallowing the exception is
        # right here, and only here, at the top: the report is what is left to do.
        return crawler.report(interrupted=True)
    return crawler.report()


def crawl(arguments: argparse.Namespace, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> Report:
    """Start the embedded site if it is wanted, and run the crawl."""
    real = arguments.url is not None
    settings = Settings(
        concurrency=arguments.concurrency,
        timeout=arguments.timeout or (10.0 if real else 1.0),
        retries=arguments.retries,
        max_pages=arguments.max_pages or (500 if real else None),
    )
    with contextlib.ExitStack() as stack:
        start = arguments.url or stack.enter_context(embedded_site(arguments.pages, arguments.seed)).url
        runner = stack.enter_context(asyncio.Runner(loop_factory=factory))
        return runner.run(run(start, settings, Console(stderr=True, quiet=arguments.quiet)))


def main(command_line: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    try:
        factory = loop_factory(arguments.loop)
    except ImportError as error:
        parser.error(f"argument --loop: ferrio cannot be used: {error}")
    try:
        report = crawl(arguments, factory)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    if not arguments.quiet:
        console = Console()
        console.print(report.summary())
        if any(page.errors for page in report.pages):
            console.print(report.errors())
    if arguments.json is not None:
        arguments.json.write_text(report.to_json() + "\n")
    return INTERRUPTED if report.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
