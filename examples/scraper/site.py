"""The site that the demo crawls: an aiohttp server with a few thousand pages, not all of them well.

    python -m examples.scraper.site --pages 3000      prints its address and serves until its input ends (Ctrl-D)

Which page links where and which one misbehaves how depends on the number of pages and the seed alone, so every crawl
of the same site finds the same pages and the same errors. All text is made beforehand: serving a page costs next to
nothing.
"""

import argparse
import asyncio
import random
import sys
from dataclasses import dataclass, field
from enum import Enum, auto

from aiohttp import web


class Kind(Enum):
    """What happens to somebody who asks for a page."""

    NORMAL = auto()
    SLOW = auto()  # the answer takes its time
    RECOVERING = auto()  # the first requests fail with 503, then all is well
    DROPPED = auto()  # the first request is cut off in the middle of the answer
    MOVED = auto()  # the page has got another address
    MISSING = auto()  # 404, for good
    BROKEN = auto()  # 500, for good
    HANGING = auto()  # no answer, ever


# How many pages of a thousand are of a kind; all others are normal.
PER_THOUSAND = {
    Kind.SLOW: 40,
    Kind.RECOVERING: 30,
    Kind.DROPPED: 5,
    Kind.MOVED: 10,
    Kind.MISSING: 12,
    Kind.BROKEN: 5,
    Kind.HANGING: 4,
}
# Pages that get links to others: the ones that a patient visitor gets to see in the end.
READABLE = {Kind.NORMAL, Kind.SLOW, Kind.RECOVERING, Kind.DROPPED}
BRANCHES = 8
ROBOTS = "User-agent: *\nDisallow: /private/\n"
FILLER = "<p>The quick brown fox jumps over the lazy dog, again and again, until the page is long enough.</p>\n" * 12


@dataclass(slots=True)
class Plan:
    """One page: how it behaves and what it says."""

    kind: Kind = Kind.NORMAL
    delay: float = 0.0
    failures: int = 0
    links: list[str] = field(default_factory=list)
    body: bytes = b""
    requests: int = 0


def plan_site(pages: int, seed: int) -> list[Plan]:
    """Lay out the site. Page 0 is the start; every other page is linked from a readable one before it."""
    random_numbers = random.Random(seed)
    plans = [Plan() for _ in range(pages)]
    for kind, share in PER_THOUSAND.items():
        # Hanging pages come early, so that a crawl has other things to do while it waits for them.
        candidates = range(1, max(pages // 20, 2) if kind is Kind.HANGING else pages)
        for number in random_numbers.sample(candidates, min(-(-pages * share // 1000), len(candidates))):
            plans[number].kind = kind
    readable: list[int] = []
    for number, plan in enumerate(plans):
        plan.delay = random_numbers.uniform(0.02, 0.08)
        plan.failures = random_numbers.choice([1, 1, 2])
        if number:
            parent = readable[min(number // BRANCHES, len(readable) - 1)]
            plans[parent].links.append(f"/page/{number}")
        if plan.kind in READABLE:
            readable.append(number)
            plan.links += [f"/page/{random_numbers.randrange(pages)}" for _ in range(3)]
            if number % 100 == 0:
                plan.links += [f"http://elsewhere.example/{number}", f"/private/{number}", "mailto:fox@example.org"]
    for number, plan in enumerate(plans):
        links = "".join(f'<li><a href="{link}">{link}</a></li>\n' for link in plan.links)
        title = f"<title>Page {number}</title>"
        plan.body = f"<!doctype html><html>{title}<body><ul>\n{links}</ul>\n{FILLER}</body></html>".encode()
    return plans


class Site:
    """Answers requests as the plans say."""

    def __init__(self, pages: int, seed: int) -> None:
        self._plans = plan_site(pages, seed)

    def reset(self) -> None:
        """Forget all visits: what failed at first fails at first again."""
        for plan in self._plans:
            plan.requests = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request."""
        match request.path.split("/"):
            case ["", ""]:
                return self._page(self._plans[0])
            case ["", "robots.txt"]:
                return web.Response(text=ROBOTS)
            case ["", "page", number] if number.isdecimal() and int(number) < len(self._plans):
                return await self._behave(request, int(number))
            case _:
                return web.Response(status=404)

    async def _behave(self, request: web.BaseRequest, number: int) -> web.StreamResponse:
        plan = self._plans[number]
        plan.requests += 1
        match plan.kind:
            case Kind.MOVED:
                return web.Response(status=301, headers={"Location": f"/page/{number // 2}#moved"})
            case Kind.MISSING | Kind.BROKEN:
                return web.Response(status=404 if plan.kind is Kind.MISSING else 500)
            case Kind.RECOVERING if plan.requests <= plan.failures:
                return web.Response(status=503)
            case Kind.DROPPED if plan.requests == 1:
                return await self._cut_off(request, plan)
            case Kind.HANGING:
                await asyncio.Event().wait()  # until the visitor has had enough
            case Kind.SLOW:
                await asyncio.sleep(plan.delay)
        return self._page(plan)

    def _page(self, plan: Plan) -> web.Response:
        return web.Response(body=plan.body, content_type="text/html", charset="utf-8")

    async def _cut_off(self, request: web.BaseRequest, plan: Plan) -> web.StreamResponse:
        """Promise the whole page and send half of it."""
        response = web.StreamResponse(headers={"Content-Length": str(len(plan.body))})
        await response.prepare(request)
        await response.write(plan.body[: len(plan.body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


async def serve(pages: int, seed: int, port: int) -> None:
    """Serve until standard input ends, so that the site never outlives the program that started it."""
    site = Site(pages, seed)
    # handler_cancellation: when a visitor hangs up, nobody goes on working for him.
    runner = web.ServerRunner(web.Server(site.answer, handler_cancellation=True))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "reset":
            site.reset()
            print("reset", flush=True)
    await runner.cleanup()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m examples.scraper.site", description="A site to crawl.")
    parser.add_argument("--pages", type=int, default=3000, help="how many pages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="chooses another site of that size (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: a free port)")
    arguments = parser.parse_args()
    if arguments.pages < 1:
        parser.error("argument --pages: must be at least 1")
    asyncio.run(serve(arguments.pages, arguments.seed, arguments.port))


if __name__ == "__main__":
    main()
