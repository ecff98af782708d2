"""Each transport with stock asyncio and with uvloop at the other end, in a process of its own."""

import asyncio
import importlib.util
import random
import sys

import pytest

from tests.support import loop_peer
from tests.support.certificates import client_context, directory, server_context
from tests.support.datagrams import Recorder as DatagramRecorder, endpoint
from tests.support.peers import Recorder, turns, until
from tests.support.programs import running
from tests.support.tls_peers import NAME

DATA = random.Random(5).randbytes(300_000)

OTHER_LOOPS = [
    "asyncio",
    pytest.param(
        "uvloop", marks=pytest.mark.skipif(not importlib.util.find_spec("uvloop"), reason="not installed: uvloop")
    ),
]


@pytest.fixture(params=OTHER_LOOPS)
def other(request) -> str:
    return request.param


def peer(other: str, role: str, transport: str, address: object):
    certificates = str(directory()) if transport == "tls" else ""
    environment = {"FERRIO_TEST_CERTIFICATES": certificates} if certificates else {}
    return running(
        sys.executable, "-m", "tests.support.loop_peer", other, role, transport, address, environment=environment
    )


async def address_of(program) -> str:
    await program.heard(b"\n")
    return program.output.decode().strip()


@pytest.mark.parametrize("transport_kind", ["tcp", "tls", "unix"])
@pytest.mark.parametrize("killed", [False, True])
def test_a_client_of_ours(loop, other, transport_kind, killed, tmp_path):
    async def main():
        with peer(other, "serve", transport_kind, tmp_path / "socket") as program:
            address = await address_of(program)
            if transport_kind == "unix":
                connecting = loop.create_unix_connection(Recorder, address)
            else:
                secured = {"ssl": client_context(), **NAME} if transport_kind == "tls" else {}
                connecting = loop.create_connection(Recorder, "127.0.0.1", int(address), **secured)
            transport, protocol = await connecting
            transport.write(DATA)
            await until(lambda: len(protocol.data) == len(DATA), 20)
            assert protocol.data == DATA
            if killed:
                program.process.kill()
            else:
                transport.close()
            error = await asyncio.wait_for(protocol.lost, 10)
            assert error is None or (killed and isinstance(error, OSError))

    loop.run_until_complete(main())


@pytest.mark.parametrize("transport_kind", ["tcp", "tls", "unix"])
def test_a_server_of_ours(loop, other, transport_kind, tmp_path):
    made = []

    class Echo(loop_peer.Echo):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.lost = loop.create_future()
            made.append(self)

        def connection_lost(self, error):
            self.lost.set_result(error)

    async def main():
        if transport_kind == "unix":
            address = tmp_path / "socket"
            server = await loop.create_unix_server(Echo, address)
        else:
            context = server_context() if transport_kind == "tls" else None
            server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=context)
            address = server.sockets[0].getsockname()[1]
        async with server:
            with peer(other, "ask", transport_kind, address) as program:
                await asyncio.to_thread(program.say, DATA)
                program.process.stdin.close()
                await until(lambda: len(program.output) >= len(DATA), 20)
                assert program.output == DATA
                assert await program.ended() == 0
            (protocol,) = made
            assert await protocol.lost is None
        await turns(3)

    loop.run_until_complete(main())


def test_datagrams_of_ours(loop, other):
    async def main():
        with peer(other, "serve", "udp", "-") as program:
            port = int(await address_of(program))
            async with endpoint(remote_addr=("127.0.0.1", port)) as (transport, protocol):
                for number in range(100):
                    transport.sendto(b"%d" % number)
                    await until(lambda number=number: len(protocol.received) == number + 1)
                assert [data for data, _ in protocol.received] == [b"%d" % number for number in range(100)]

    loop.run_until_complete(main())


def test_datagrams_of_theirs(loop, other):
    class Echo(DatagramRecorder):
        def datagram_received(self, data, address):
            self.transport.sendto(data, address)

    async def main():
        async with endpoint(Echo, local_addr=("127.0.0.1", 0)) as (transport, _):
            with peer(other, "ask", "udp", transport.get_extra_info("sockname")[1]) as program:
                program.say(DATA[:20_000])
                program.process.stdin.close()
                await until(lambda: len(program.output) >= 20_000, 20)
                assert program.output == DATA[:20_000]

    loop.run_until_complete(main())
