"""FastAPI: a streaming response of twenty chunks."""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from ..serving import serve as serve_application

application = FastAPI()


@application.get("/")
async def root() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    return StreamingResponse(chunks(), media_type="text/plain")


async def serve() -> None:
    await serve_application(application)
