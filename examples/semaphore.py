"""Semaphore: at most so many at a time.

Shown here: `async with semaphore` around what has to be limited, that everything else goes on unlimited, `locked()`,
and `BoundedSemaphore`, which notices when something is given back twice.

The program downloads twelve pictures from a server that allows three connections.
"""

import asyncio


class PictureServer:
    """Refuses the fourth connection, and remembers how busy it was."""

    limit = 3

    def __init__(self) -> None:
        self.connections = 0
        self.busiest = 0
        self.refused = 0

    async def start(self) -> asyncio.Server:
        """Listen on a port of the system's choice."""
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.busiest = max(self.busiest, self.connections)
        name = (await reader.readline()).decode().strip()
        if self.connections > self.limit:
            self.refused += 1
            writer.write(b"busy")
        else:
            await asyncio.sleep(0.01)
            writer.write(f"picture of {name}".encode())
        self.connections -= 1
        writer.close()


async def download(port: int, name: str) -> str:
    """Fetch one picture over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{name}\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer


async def polite_download(slots: asyncio.Semaphore, port: int, name: str) -> str:
    """The same, but with one of the slots. All tasks start at once; the semaphore lets three through."""
    async with slots:
        return await download(port, name)


async def main() -> None:
    """Download with and without a limit."""
    names = [f"cat {number}" for number in range(1, 13)]

    rude = PictureServer()
    async with await rude.start() as server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(*(download(port, name) for name in names))
    print(f"without a semaphore: some were refused: {rude.refused > 0}")

    polite = PictureServer()
    slots = asyncio.Semaphore(PictureServer.limit)
    async with await polite.start() as server:
        port = server.sockets[0].getsockname()[1]
        pictures = await asyncio.gather(*(polite_download(slots, port, name) for name in names))
    print(f"with a semaphore: refused {polite.refused}, at most {polite.busiest} at a time")
    print(f"{len(pictures)} pictures, the last: {pictures[-1]}")

    # The semaphore counts down as it is taken. At nought it is locked: the next one waits.
    async with slots, slots:
        print(f"two of three slots taken, locked: {slots.locked()}")
        async with slots:
            print(f"all slots taken, locked: {slots.locked()}")

    # A plain semaphore grows when it is released too often, and the limit is quietly gone. A bounded one complains.
    bounded = asyncio.BoundedSemaphore(2)
    async with bounded:
        pass
    try:
        bounded.release()
    except ValueError as error:
        print(f"released too often: {error}")


if __name__ == "__main__":
    asyncio.run(main())
