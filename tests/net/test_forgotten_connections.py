"""Connections that a program no longer refers to, and that can have no further events, are collected with a warning."""

import asyncio
import gc
import os
import socket
import warnings

import pytest

import ferrio
from tests.support.peers import listening, turns, until

COUNT = 20


class HalfOpen(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def eof_received(self):
        return True


class NeverReads(asyncio.Protocol):
    def connection_made(self, transport):
        transport.pause_reading()


class StopsReading(HalfOpen):
    def data_received(self, data):
        self.transport.pause_reading()


class Unfinished(HalfOpen):
    """Stays: what it wrote is not sent yet."""

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.write(bytes(1 << 22))
        transport.pause_reading()


async def opened() -> int:
    gc.collect()
    await turns(3)
    return len(os.listdir("/proc/self/fd"))


async def clients(server, data: bytes, close: bool) -> list[socket.socket]:
    made = []
    for _ in range(COUNT):
        client = socket.create_connection(server.sockets[0].getsockname())
        client.send(data)
        await asyncio.sleep(0.002)
        if close:
            client.close()
        made.append(client)
    return made


@pytest.mark.parametrize("protocol", [HalfOpen, NeverReads, StopsReading])
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_forgotten_connections_of_a_server_are_closed(loop, protocol):
    async def main():
        server = await loop.create_server(protocol, "127.0.0.1", 0)
        before = await opened()
        await clients(server, b"data", close=True)
        await asyncio.sleep(0.02)
        # The most recent callback may still refer to one.
        assert await opened() - before <= 2
        server.close()
        await turns(2)

    loop.run_until_complete(main())


@pytest.mark.parametrize("streams", [asyncio, ferrio], ids=["asyncio", "ferrio"])
@pytest.mark.parametrize("flood", [False, True])
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_a_handler_that_forgets_its_writer_leaves_nothing(loop, streams, flood):
    async def handler(reader, writer):
        await (reader.readline() if flood else reader.read())

    async def main():
        server = await streams.start_server(handler, "127.0.0.1", 0, limit=100)
        before = await opened()
        made = await clients(server, b"line\n" + bytes(1000 if flood else 0), close=not flood)
        await asyncio.sleep(0.02)
        left = await opened() - before
        for client in made:
            client.close()
        assert left <= 2 + (COUNT if flood else 0)
        server.close()
        await turns(2)

    loop.run_until_complete(main())


def test_a_closed_server_does_not_wait_for_a_forgotten_connection():
    async def main():
        server = await asyncio.get_running_loop().create_server(NeverReads, "127.0.0.1", 0)
        await clients(server, b"data", close=True)
        server.close()
        gc.collect()
        await asyncio.wait_for(server.wait_closed(), 5)

    with warnings.catch_warnings(), asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        warnings.simplefilter("ignore", ResourceWarning)
        runner.run(main())


def test_the_warning_names_the_transport_and_the_peer_hears_of_the_end(loop):
    async def main():
        ours, peer = socket.socketpair()
        with peer, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            await loop.create_connection(NeverReads, sock=ours)
            fd = ours.fileno()
            del ours
            await turns(2)
            gc.collect()
            assert peer.recv(1) == b""
        (warning,) = (each for each in told if "unclosed transport" in str(each.message))
        assert f"fd={fd}" in str(warning.message)

    loop.run_until_complete(main())


def test_what_is_still_to_be_sent_keeps_a_connection(loop):
    async def main():
        server = await loop.create_server(Unfinished, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.setblocking(False)
            await asyncio.sleep(0.01)
            gc.collect()
            size = 0
            while size < 1 << 22:
                size += len(await loop.sock_recv(client, 1 << 20))
            server.close()
        await turns(3)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.run_until_complete(main())
        gc.collect()


def test_a_paused_connection_that_is_referenced_continues(loop):
    async def main():
        received = bytearray()

        class Held(asyncio.Protocol):
            def data_received(self, data):
                received.extend(data)

        with listening() as listener:
            transport, _ = await loop.create_connection(Held, *listener.getsockname())
            peer, _ = listener.accept()
        with peer:
            for round_ in range(3):
                transport.pause_reading()
                peer.send(b"x" * 10)
                await asyncio.sleep(0.005)
                gc.collect()
                assert len(received) == round_ * 10
                transport.resume_reading()
                await until(lambda expected=round_ * 10 + 10: len(received) == expected)
            transport.pause_reading()
            peer.close()
            await asyncio.sleep(0.005)
            transport.resume_reading()
            await until(transport.is_closing)
            await turns(2)

    loop.run_until_complete(main())


def test_a_socket_that_its_owner_closes_too_early_does_not_lead_elsewhere():
    """On asyncio the write fails by then; here the connection lasts until the transport is done with it."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        ours.close()
        other, watching = socket.socketpair()
        transport.write(b"for the peer")
        with peer, other, watching:
            watching.setblocking(False)
            with pytest.raises(BlockingIOError):
                watching.recv(1)
            assert peer.recv(100) == b"for the peer"
            transport.close()
            await turns(2)
            assert peer.recv(1) == b""

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())
