"""sendfile: 100 MB to a socket that a thread reads from."""

import asyncio
import socket
import tempfile
import threading

from .workload import workload

SIZE = 100 << 20


def _drain(sock: socket.socket) -> None:
    room = bytearray(1 << 20)
    left = SIZE
    while left:
        left -= sock.recv_into(room)


async def _sent(send) -> int:
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right, tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        draining = threading.Thread(target=_drain, args=(right,))
        draining.start()
        assert await send(left, file) == SIZE
        await asyncio.to_thread(draining.join)
    return 1


@workload
async def to_a_socket() -> int:
    return await _sent(asyncio.get_running_loop().sock_sendfile)


@workload
async def to_a_transport() -> int:
    loop = asyncio.get_running_loop()

    async def send(sock, file):
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock.dup())
        sent = await loop.sendfile(transport, file)
        transport.close()
        return sent

    return await _sent(send)
