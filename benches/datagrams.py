"""Datagram endpoints, both ends in this process."""

import asyncio
import socket

from .workload import workload


class Answering(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class Asking(asyncio.DatagramProtocol):
    """Sends the next message when the answer to the last one has arrived."""

    def __init__(self, message, times, done):
        self.message, self.left, self.done = message, times, done

    def connection_made(self, transport):
        self.transport = transport
        transport.sendto(self.message)

    def datagram_received(self, data, addr):
        assert len(data) == len(self.message)
        self.left -= 1
        if self.left:
            self.transport.sendto(self.message)
        else:
            self.done.set_result(None)


async def _ping_pong(size: int, times: int) -> int:
    loop = asyncio.get_running_loop()
    answering, _ = await loop.create_datagram_endpoint(Answering, local_addr=("127.0.0.1", 0))
    address = answering.get_extra_info("sockname")
    done = loop.create_future()
    asking, _ = await loop.create_datagram_endpoint(lambda: Asking(bytes(size), times, done), remote_addr=address)
    await done
    asking.close()
    answering.close()
    await asyncio.sleep(0)
    return times


@workload
async def ping_pong_100() -> int:
    return await _ping_pong(100, 2000)


@workload
async def ping_pong_8k() -> int:
    return await _ping_pong(8192, 1000)


@workload
async def received_in_a_row() -> int:
    """A receiver of measurements: many small messages, no answers."""

    class Counting(asyncio.DatagramProtocol):
        received = 0

        def datagram_received(self, data, addr):
            self.received += 1

    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Counting, local_addr=("127.0.0.1", 0))
    address = transport.get_extra_info("sockname")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for sent in range(50, 2050, 50):
            for _ in range(50):  # fewer than the receiving socket's buffer holds
                sender.sendto(b"x" * 100, address)
            while protocol.received < sent:
                await asyncio.sleep(0)
    transport.close()
    await asyncio.sleep(0)
    return 2000
