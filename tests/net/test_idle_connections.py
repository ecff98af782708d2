"""A connection that waits for its peer takes little memory, because servers have many of them."""

import asyncio
import os
import socket
import subprocess
import sys

import pytest

import ferrio
from tests.support import memory

FEW, MANY = 10, 510
LIMIT = 2500  # bytes for a connection: transport, reader, writer, task, and the handler's own frame


async def bytes_held_by_each() -> float:
    """What the server's side holds for a connection whose handler has read a line and waits for the next."""
    waiting = 0

    async def handle(reader, writer):
        nonlocal waiting
        await reader.readline()
        waiting += 1
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    clients = []

    async def serve(number):
        while len(clients) < number:
            clients.append(socket.create_connection(address))
            clients[-1].send(b"line\n")
            await asyncio.sleep(0)
        while waiting < number:
            await asyncio.sleep(0.001)
        return memory.in_use()

    before, after = await serve(FEW), await serve(MANY)
    for client in clients:
        client.close()
    server.close()
    await server.wait_closed()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    return (after - before) / (MANY - FEW)


@pytest.mark.skipif(memory.in_use() == 0, reason="the C library does not tell what is in use")
def test_an_idle_connection_is_small():
    # Only then malloc knows of Python's small objects too.
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "PYTHONDEVMODE": "", "PYTHONASYNCIODEBUG": ""}
    child = subprocess.run([sys.executable, "-m", __name__], env=environment, capture_output=True, timeout=60)
    assert child.returncode == 0, child.stderr.decode()
    assert 500 < float(child.stdout) < LIMIT


if __name__ == "__main__":
    ferrio.install()
    print(asyncio.run(bytes_held_by_each()))
