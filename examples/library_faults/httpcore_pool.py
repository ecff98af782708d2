"""httpcore up to 1.0.2, the pool of httpx: a request that is cancelled while it connects keeps its place in the pool.

    python -m examples.library_faults.httpcore_pool

With one place, the next request waits for it in vain.
"""

import asyncio

import httpcore

from examples.library_faults.report import explore
from ferrio.testing import sim


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with its path."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def cancelled_request() -> None:
    """One request is given up, the next one has to be answered."""
    with sim.net.host("web"):
        server = await asyncio.start_server(serve, "0.0.0.0", 80)
    async with httpcore.AsyncConnectionPool(max_connections=1) as pool:

        async def fetch(path: str) -> bytes:
            response = await pool.request("GET", f"http://web/{path}", extensions={"timeout": {"pool": 5.0}})
            return response.content

        task = asyncio.create_task(fetch("first"))
        await asyncio.wait([task], timeout=0.01)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        assert await fetch("second") == b"/second"
    server.close()


if __name__ == "__main__":
    explore(cancelled_request)
