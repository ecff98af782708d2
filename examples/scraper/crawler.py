"""The crawler: a queue of URLs that grows while it is worked on, and a limit on how many are fetched at once.

How it flows: `_discover` records a URL and puts it into the queue; `_dispatch` takes it out as soon as the semaphore
has a slot, and starts a task for one `_visit`; a visit ends in an outcome, or puts the page back into the queue for a
retry some time later. When everything that was put has been dealt with, `queue.join()` returns and the crawl is over.

A page's record exists from its discovery on, so nothing gets lost, whatever happens and wherever the crawl is
stopped.
"""

import asyncio
import html
import random
import re
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import aiohttp

from .report import Outcome, Page, Report

USER_AGENT = "ferrio-example-scraper"
# Answers that may be different next time: too many requests, and all troubles of the server.
TEMPORARY = {429, 500, 502, 503, 504}
# A regular expression is no HTML parser, but finding links is all that is wanted here, and it is quick.
LINK = re.compile(r"""<a\s[^>]*?href\s*=\s*["']([^"']+)["']""", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """How to crawl. `timeout` is for one attempt at one page; `backoff` doubles with each retry."""

    concurrency: int = 50
    timeout: float = 1.0
    retries: int = 2
    backoff: float = 0.05
    max_pages: int | None = None


class HttpError(Exception):
    """The server answered, but not with the page."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.temporary = status in TEMPORARY


def describe(error: Exception) -> str:
    """The kind of an error, and what the system says about it if it was the system's."""
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


class Crawler:
    """Visits a site page by page, starting with one URL and never leaving its host."""

    def __init__(self, start: str, settings: Settings) -> None:
        self.pages: dict[str, Page] = {}
        self.outcomes: Counter[Outcome] = Counter()
        self._start = start
        self._host = urlsplit(start).netloc
        self._settings = settings
        self._robots = RobotFileParser()
        self._queue: asyncio.Queue[Page] = asyncio.Queue()
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._queued = 0
        self._started = time.perf_counter()
        self._cpu_started = time.process_time()

    async def crawl(self) -> None:
        """Visit everything that can be reached. Cancelling it stops all visits; `report` then tells what there is."""
        connector = aiohttp.TCPConnector(limit=0)  # the semaphore is the limit
        timeout = aiohttp.ClientTimeout(total=None)  # asyncio.timeout does that, below
        headers = {"User-Agent": USER_AGENT}
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
            await self._read_robots(session)
            self._discover(self._start)
            async with asyncio.TaskGroup() as visits:
                dispatcher = visits.create_task(self._dispatch(session, visits))
                await self._queue.join()
                dispatcher.cancel()

    def report(self, *, interrupted: bool = False) -> Report:
        """What is known by now. What was still to be done when the crawl was interrupted counts as skipped."""
        for page in self.pages.values():
            if page.outcome is None:
                self._finish(page, Outcome.SKIPPED, "interrupted")
        loop = type(asyncio.get_running_loop())
        return Report(
            start=self._start,
            loop=f"{loop.__module__.split('.')[0]}.{loop.__name__}",
            pages=list(self.pages.values()),
            seconds=time.perf_counter() - self._started,
            cpu_seconds=time.process_time() - self._cpu_started,
            interrupted=interrupted,
        )

    async def _read_robots(self, session: aiohttp.ClientSession) -> None:
        """A polite crawler asks the site what it may visit. No answer means everything."""
        try:
            async with (
                asyncio.timeout(self._settings.timeout),
                session.get(urljoin(self._start, "/robots.txt")) as response,
            ):
                text = await response.text(errors="replace") if response.status == 200 else ""
        except (aiohttp.ClientError, OSError):
            text = ""
        self._robots.parse(text.splitlines())

    def _discover(self, url: str) -> None:
        """Record a URL when it is seen for the first time, and queue it unless there is a reason to skip it."""
        if url in self.pages:
            return
        page = self.pages[url] = Page(url)
        limit = self._settings.max_pages
        if urlsplit(url).netloc != self._host:
            self._finish(page, Outcome.SKIPPED, "another site")
        elif not self._robots.can_fetch(USER_AGENT, url):
            self._finish(page, Outcome.SKIPPED, "robots.txt")
        elif limit is not None and self._queued >= limit:
            self._finish(page, Outcome.SKIPPED, "over --max-pages")
        else:
            self._queued += 1
            self._queue.put_nowait(page)

    def _finish(self, page: Page, outcome: Outcome, reason: str = "") -> None:
        """Set the one outcome of a page."""
        page.outcome = outcome
        page.reason = reason
        self.outcomes[outcome] += 1

    async def _dispatch(self, session: aiohttp.ClientSession, visits: asyncio.TaskGroup) -> None:
        """Start a visit for each page in the queue, as soon as there is a slot for it."""
        while True:
            page = await self._queue.get()
            await self._slots.acquire()
            visits.create_task(self._visit(session, page))

    async def _visit(self, session: aiohttp.ClientSession, page: Page) -> None:
        """Make one attempt at a page. Whatever goes wrong with it is an error of this page and of no other."""
        page.attempts += 1
        timeout = self._settings.timeout
        try:
            async with asyncio.timeout(timeout):
                links = await self._fetch(session, page)
        except TimeoutError:
            self._give_up_or_retry(page, Outcome.TIMED_OUT, f"no answer within {timeout:g} s", temporary=True)
        except HttpError as error:
            self._give_up_or_retry(page, Outcome.FAILED, str(error), temporary=error.temporary)
        except (aiohttp.ClientError, OSError) as error:
            self._give_up_or_retry(page, Outcome.FAILED, describe(error), temporary=True)
        except Exception as error:  # a page that cannot be read must not end the crawl
            self._give_up_or_retry(page, Outcome.FAILED, f"{type(error).__name__}: {error}", temporary=False)
        else:
            self._finish(page, Outcome.OK)
            for link in links:
                self._discover(link)
            self._queue.task_done()
        finally:
            self._slots.release()

    async def _fetch(self, session: aiohttp.ClientSession, page: Page) -> list[str]:
        """Get one page, and return the links on it."""
        async with session.get(page.url, allow_redirects=False) as response:
            page.status = response.status
            if response.status >= 400:
                raise HttpError(response.status, response.reason or "")
            if response.status >= 300:
                # Following it is a discovery like any other: it may lead to a known page, or to another site.
                return self._absolute(page.url, [response.headers.get("Location", "")])
            body = await response.read()
            page.size = len(body)
            if response.content_type != "text/html":
                return []
            text = body.decode(response.charset or "utf-8", errors="replace")
            return self._absolute(page.url, LINK.findall(text))

    def _absolute(self, base: str, references: list[str]) -> list[str]:
        """The web addresses among some references, without the fragments that point into a page."""
        urls = (urljoin(base, html.unescape(reference)).partition("#")[0] for reference in references)
        return [url for url in urls if url.startswith(("http://", "https://"))]

    def _give_up_or_retry(self, page: Page, outcome: Outcome, error: str, *, temporary: bool) -> None:
        """Keep the error. If it is worth another try, queue the page again, a little later each time."""
        page.errors.append(error)
        if not temporary or page.attempts > self._settings.retries:
            self._finish(page, outcome, error)
            self._queue.task_done()
            return
        # The random part keeps pages that failed together from coming back together.
        delay = self._settings.backoff * 2 ** (page.attempts - 1) * random.uniform(0.5, 1.5)
        asyncio.get_running_loop().call_later(delay, self._queue_again, page)

    def _queue_again(self, page: Page) -> None:
        """Put first, then settle the earlier attempt: the other way round, join() might see the queue all done."""
        self._queue.put_nowait(page)
        self._queue.task_done()
