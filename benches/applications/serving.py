"""uvicorn with httptools, as the programs start it for an ASGI application."""

import asyncio
from typing import Any

import uvicorn


async def serve(application: Any) -> None:
    """Prints the port once the server listens, and serves until SIGTERM."""
    config = uvicorn.Config(
        application, port=0, http="httptools", ws="none", lifespan="off", log_level="error", access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving
