"""redis-py up to 4.5.4: a cancelled command leaves its answer on the connection, and the next one reads it.

    python -m examples.library_faults.redis_answers

The command is given up after ten milliseconds. If the answer comes later than that, the connection goes back to the
pool with the answer still to come.
"""

import asyncio

import redis.asyncio

from examples.library_faults.report import explore
from ferrio.testing import sim


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As much of a Redis server as the test needs: the value of a key is told by its name."""
    queued: list[bytes] | None = None
    try:
        while line := await reader.readline():
            command = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                command.append((await reader.readexactly(size + 2))[:-2])
            name = command[0].upper()
            value = b"the value of " + command[-1]
            answer = b"$%d\r\n%s\r\n" % (len(value), value) if name == b"GET" else b"+OK\r\n"
            if name == b"EXEC":
                answer = b"*%d\r\n" % len(queued or ()) + b"".join(queued or ())
                queued = None
            elif name == b"MULTI":
                queued = []
            elif queued is not None:
                queued.append(answer)
                answer = b"+QUEUED\r\n"
            writer.write(answer)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def give_up(task: "asyncio.Task[object]") -> None:
    """Wait for ten milliseconds, then cancel."""
    await asyncio.wait([task], timeout=0.01)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


async def plain() -> None:
    """One command is given up, the next one has to get its own answer."""
    with sim.net.host("cache"):
        server = await asyncio.start_server(serve, "0.0.0.0", 6379)
    client = redis.asyncio.Redis(host="cache")
    await give_up(asyncio.create_task(client.get("first")))
    assert await client.get("second") == b"the value of second"
    await client.connection_pool.disconnect()
    server.close()


async def pipeline() -> None:
    """The same with a pipeline."""
    with sim.net.host("cache"):
        server = await asyncio.start_server(serve, "0.0.0.0", 6379)
    client = redis.asyncio.Redis(host="cache")

    async def ask() -> object:
        async with client.pipeline() as commands:
            commands.get("one")
            commands.get("two")
            return await commands.execute()

    await give_up(asyncio.create_task(ask()))
    assert await client.get("second") == b"the value of second"
    await client.connection_pool.disconnect()
    server.close()


if __name__ == "__main__":
    explore(plain, pipeline)
