"""The chat server: what one client says, all others hear.

Each client has a queue. A task takes what is in it and writes it to the client's connection, so a client that reads
slowly delays nobody else; one whose queue is full, or that does not read for too long, is disconnected. A client that
says nothing for too long is disconnected as well.

    python -m examples.chat --serve 8888      then, in as many terminals as you like: nc localhost 8888
"""

import asyncio
from dataclasses import dataclass, field

# Messages that wait for one client, and seconds.
BACKLOG = 10_000
PATIENCE = 30.0
# Who has read this hears everything that is said from then on.
WELCOME = b"welcome\n"


@dataclass(eq=False)
class Client:
    """One connection, and what it has to be told. `None` in the queue says that nothing more will come."""

    name: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(BACKLOG))


class ChatServer:
    """The clients that are connected. `handle` is what `asyncio.start_server` calls for each connection."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._clients: set[Client] = set()
        self._patience = patience
        self._connections = 0
        self._nobody = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client. Its first line is its name; whichever of its two tasks fails first ends the other."""
        self._connections += 1
        try:
            async with asyncio.timeout(self._patience):
                name = (await reader.readline()).strip()
            client = Client(name, reader, writer)
            client.queue.put_nowait(WELCOME)
            self._clients.add(client)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listen(client))
                    group.create_task(self._tell(client))
            finally:
                self._clients.discard(client)
        except* (TimeoutError, ConnectionError, asyncio.QueueFull):
            pass  # the client is gone, or as good as gone; the others stay
        finally:
            writer.close()
            self._connections -= 1
            if not self._connections:
                self._nobody.set()

    async def until_nobody_is_left(self) -> None:
        """Wait for the last client to leave."""
        while self._connections:
            self._nobody.clear()
            await self._nobody.wait()

    async def _listen(self, client: Client) -> None:
        """Pass on every line that the client says, until it hangs up."""
        while True:
            async with asyncio.timeout(self._patience):
                line = await client.reader.readline()
            if not line:
                break
            self._pass_on(client, client.name + b": " + line)
        client.queue.put_nowait(None)

    def _pass_on(self, speaker: Client, message: bytes) -> None:
        for client in list(self._clients):
            if client is speaker:
                continue
            try:
                client.queue.put_nowait(message)
            except asyncio.QueueFull:
                client.writer.transport.abort()  # it does not keep up

    async def _tell(self, client: Client) -> None:
        """Write what is in the client's queue, and wait while the connection is congested."""
        while (message := await client.queue.get()) is not None:
            client.writer.write(message)
            async with asyncio.timeout(self._patience):
                await client.writer.drain()
