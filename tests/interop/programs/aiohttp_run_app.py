"""A server of aiohttp's by web.run_app, which a signal ends while a request is being answered."""

import asyncio
import socket

from aiohttp import web

from tests.interop import clean


async def slow(request: web.Request) -> web.Response:
    print("asked", flush=True)
    await asyncio.sleep(0.5)
    return web.Response(text="answered all the same")


async def background(application: web.Application):
    ticking = asyncio.create_task(asyncio.sleep(1000))
    print("startup", flush=True)
    yield
    ticking.cancel()
    await asyncio.wait([ticking])
    print("cleanup", flush=True)


async def application() -> web.Application:
    application = web.Application()
    application.router.add_get("/", slow)
    application.cleanup_ctx.append(background)
    return application


with socket.create_server(("127.0.0.1", 0)) as listener:
    number = listener.getsockname()[1]
    # A socket of its own to close: run_app closes what it is given.
    # In debug mode there would be a log of accesses.
    web.run_app(
        application(), sock=listener.dup(), access_log=None, print=lambda _: print(f"port {number}", flush=True)
    )
clean.done()
