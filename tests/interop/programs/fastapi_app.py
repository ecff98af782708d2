"""A FastAPI application: lifespan, background tasks, streams, threads, uploads, WebSockets; it prints each event."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, StreamingResponse


@contextlib.asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[dict[str, list[str]]]:
    print("startup", flush=True)
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(asyncio.sleep(1000))
        yield {"record": []}
        ticking.cancel()
    print("shutdown", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/kinds")
async def kinds() -> dict[str, str]:
    return {"loop": type(asyncio.get_running_loop()).__module__, "task": asyncio.Task.__module__}


@app.get("/async/{number}")
async def in_loop(number: int) -> int:
    await asyncio.sleep(0)
    return number


@app.get("/thread/{number}")
def in_thread(number: int) -> int:
    return number


async def resource(request: Request) -> AsyncIterator[str]:
    request.state.record.append("taken")
    yield "resource"
    request.state.record.append("given back")


@app.get("/depends")
async def depends(value: Annotated[str, Depends(resource)]) -> str:
    return value


@app.post("/background")
async def background(tasks: BackgroundTasks, request: Request) -> str:
    async def later() -> None:
        await asyncio.sleep(0.01)
        request.state.record.append("async")

    tasks.add_task(later)
    tasks.add_task(request.state.record.append, "thread")
    return "begun"


@app.get("/record")
async def record(request: Request) -> list[str]:
    return request.state.record


@app.get("/stream/{count}")
async def stream(count: int, request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            for _ in range(count):
                yield b"x" * 10_000
                await asyncio.sleep(0)
        finally:
            request.state.record.append("streamed")

    return StreamingResponse(pieces())


@app.get("/blocking/{count}")
async def blocking(count: int) -> StreamingResponse:
    def pieces() -> Iterator[bytes]:
        for _ in range(count):
            yield b"y" * 1000

    return StreamingResponse(pieces())


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, str]:
    return {"name": file.filename, "sum": hashlib.sha256(await file.read()).hexdigest()}


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(__file__)


@app.get("/slow")
async def slow() -> str:
    print("asked", flush=True)
    await asyncio.sleep(0.5)
    return "answered all the same"


@app.websocket("/websocket")
async def websocket(connection: WebSocket) -> None:
    await connection.accept(subprotocol="upper")
    try:
        while True:
            message = await connection.receive_text()
            if message == "close":
                await connection.close(4321, "as you wish")
                return
            await connection.send_text(message.upper())
    except WebSocketDisconnect as error:
        connection.state.record.append(f"websocket {error.code}")


@app.websocket("/refused")
async def refused(connection: WebSocket) -> None:
    await connection.close()
