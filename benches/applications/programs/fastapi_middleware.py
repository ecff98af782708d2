"""FastAPI: a coroutine function behind one middleware that adds a header."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from ..serving import serve as serve_application

application = FastAPI()


@application.get("/")
async def root() -> dict[str, object]:
    return {"message": "Hello World", "number": 1}


@application.middleware("http")
async def add_header(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["x-added"] = "1"
    return response


async def serve() -> None:
    await serve_application(application)
