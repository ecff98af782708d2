"""aiohttp's connector, up to 3.14.5: a request that is given up as its turn comes takes the next one's turn with it.

    python -m examples.library_faults.aiohttp_connector

With one connection, three requests wait for each other. The second one is cancelled in the very turn in which the first
one gives the connection back; the third one then waits in vain. `PatientConnector` passes the turn on.
"""

import asyncio
from typing import Any

import aiohttp

from examples.library_faults.report import explore
from ferrio.testing import sim


class PatientConnector(aiohttp.TCPConnector):
    """A connector in which a request that gives up passes its turn on."""

    async def _wait_for_available_connection(self, *arguments: Any) -> None:
        try:
            await super()._wait_for_available_connection(*arguments)
        except BaseException:
            self._release_waiter()
            raise


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with its path, after nine milliseconds."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            await asyncio.sleep(0.009)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def three_requests(connector: aiohttp.TCPConnector) -> None:
    """The second request is given up, the third one has to be answered."""
    with sim.net.host("web"):
        server = await asyncio.start_server(serve, "0.0.0.0", 80)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def fetch(path: str) -> str:
            async with session.get(f"http://web/{path}", timeout=aiohttp.ClientTimeout(60)) as response:
                return await response.text()

        first, second, third = (asyncio.create_task(fetch(name)) for name in ("first", "second", "third"))
        asyncio.get_running_loop().call_later(0.01, second.cancel)
        assert await first == "/first"
        await asyncio.wait([second])
        assert await third == "/third"
    server.close()


async def lost_turn() -> None:
    """With the library's connector."""
    await three_requests(aiohttp.TCPConnector(limit=1, force_close=True))


async def passed_turn() -> None:
    """With one that holds."""
    await three_requests(PatientConnector(limit=1, force_close=True))


if __name__ == "__main__":
    explore(lost_turn, passed_turn)
