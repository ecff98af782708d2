"""The process under callgrind: `IMPLEMENTATION ROW LIBRARY`. Dumps start, N operations, and 2N operations."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from ..workload import loop_factory
from .marks import Marks
from .rows import ROWS, SERVERS

MISSING = "missing:"

Message = dict[str, Any]


async def measure(name: str, marks: Marks) -> None:
    function, count = ROWS[name]
    await function(count)
    marks.start()
    await function(count // 4)
    marks.dump()
    await function(count)
    marks.dump()
    await function(2 * count)
    marks.dump()


def application(marks: Marks) -> Callable[..., Awaitable[None]]:
    """An ASGI application with the shortest possible responses; requests for `/start` and `/dump` are marks."""
    actions = {"/start": marks.start, "/dump": marks.dump}
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"12")]

    async def answer(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if action := actions.get(scope["path"]):
            action()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"Hello, world"})

    return answer


async def until_input_ends() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()


async def serve_aiohttp(marks: Marks) -> None:
    """The same with aiohttp's server."""
    try:
        from aiohttp import web
    except ImportError as error:
        print(MISSING, error.name, flush=True)
        return
    actions = {"/start": marks.start, "/dump": marks.dump}

    async def answer(request: web.BaseRequest) -> web.Response:
        if action := actions.get(request.path):
            action()
        return web.Response(body=b"Hello, world", content_type="text/plain")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await until_input_ends()
    await runner.cleanup()


async def serve_uvicorn(marks: Marks) -> None:
    """Prints the port, and serves until standard input ends."""
    try:
        import httptools  # noqa: F401 # the parser that is selected below
        import uvicorn
    except ImportError as error:
        print(MISSING, error.name, flush=True)
        return

    class Server(uvicorn.Server):
        """Skips what uvicorn does every tenth of a second: a busy machine would do more of it per request."""

        async def main_loop(self) -> None:
            await self.on_tick(0)
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)
            await until_input_ends()

    config = uvicorn.Config(
        application(marks), port=0, http="httptools", ws="none", lifespan="off", log_level="error", access_log=False
    )
    await Server(config).serve()


SERVE = dict(zip(SERVERS, (serve_uvicorn, serve_aiohttp), strict=True))


def main() -> None:
    implementation, name, library = sys.argv[1:]
    marks = Marks(library)
    with asyncio.Runner(loop_factory=loop_factory(implementation)) as runner:
        runner.run(SERVE[name](marks) if name in SERVE else measure(name, marks))


if __name__ == "__main__":
    main()
