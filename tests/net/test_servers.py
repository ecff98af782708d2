"""Servers: listening, accepting and closing."""

import asyncio
import errno
import resource
import socket
import sys

import pytest

from tests.support.differential import assert_same, outcome_of
from tests.support.peers import Recorder, turns, until


class Clients:
    """A protocol factory that remembers what it made."""

    def __init__(self):
        self.made: list[Recorder] = []

    def __call__(self):
        self.made.append(Recorder())
        return self.made[-1]

    async def end(self):
        for protocol in self.made:
            protocol.transport.abort()
            await protocol.lost


def test_accepted_connections_get_a_protocol_each(loop):
    async def main():
        clients = Clients()
        server = await loop.create_server(clients, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        raw = [socket.create_connection(address) for _ in range(50)]
        # A protocol is made a turn before it hears of its connection.
        await until(lambda: len(clients.made) == 50 and all(each.transport for each in clients.made))
        assert {each.transport.get_extra_info("peername") for each in clients.made} == {
            each.getsockname() for each in raw
        }
        assert clients.made[0].transport.get_extra_info("sockname") == address
        for each in raw:
            each.close()
        for protocol in clients.made:
            assert await protocol.lost is None
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_the_server_object_is_asyncios():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        trace.append((isinstance(server, asyncio.AbstractServer), server.is_serving(), server.get_loop() is loop))
        trace.append((type(server.sockets), len(server.sockets), type(server.sockets[0]).__name__))
        trace.append(server.sockets[0].gettimeout())
        server.close()
        trace.append((server.is_serving(), server.sockets))
        server.close()
        trace.append(await outcome_of(server.wait_closed()))
        trace.append((await outcome_of(server.start_serving()))[0])
        trace.append(await outcome_of(server.serve_forever()))

    assert_same(scenario)


def test_start_serving_can_wait(loop):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        address = server.sockets[0].getsockname()
        with socket.socket() as early, pytest.raises(ConnectionRefusedError):
            early.connect(address)
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        socket.create_connection(address).close()
        await asyncio.sleep(0.005)
        server.close()

    loop.run_until_complete(main())


def test_serve_forever_ends_with_its_cancellation(loop):
    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, start_serving=False)
        serving = loop.create_task(server.serve_forever())
        await turns(3)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
            await server.serve_forever()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        assert server.sockets == ()

    loop.run_until_complete(main())


def test_async_with_closes_the_server(loop):
    async def main():
        async with await loop.create_server(asyncio.Protocol, "127.0.0.1", 0) as server:
            assert server.is_serving()
        assert not server.is_serving()

    loop.run_until_complete(main())


def test_a_listening_socket_can_be_given(loop):
    """Some native loops take it and never accept."""

    async def main():
        sock = socket.create_server(("127.0.0.1", 0))
        clients = Clients()
        server = await loop.create_server(clients, sock=sock)
        assert server.sockets[0].getsockname() == sock.getsockname()
        with socket.create_connection(sock.getsockname()):
            await until(lambda: clients.made)
        await clients.made[0].lost
        server.close()
        assert sock.fileno() == -1

    loop.run_until_complete(main())


def test_a_bound_socket_can_be_given(loop):
    async def main():
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        clients = Clients()
        server = await loop.create_server(clients, sock=sock)
        with socket.create_connection(sock.getsockname()):
            await until(lambda: clients.made)
        await clients.made[0].lost
        server.close()

    loop.run_until_complete(main())


def test_hosts_may_be_a_list(loop):
    async def main():
        server = await loop.create_server(asyncio.Protocol, ["127.0.0.1", "127.0.0.2"], 0)
        assert {sock.getsockname()[0] for sock in server.sockets} == {"127.0.0.1", "127.0.0.2"}
        server.close()

    loop.run_until_complete(main())


def test_no_host_means_all_interfaces():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        for host in (None, "", "::1"):
            server = await loop.create_server(asyncio.Protocol, host, 0)
            trace.append(sorted((sock.family.name, sock.getsockname()[0]) for sock in server.sockets))
            for sock in server.sockets:
                if sock.family == socket.AF_INET6:
                    trace.append(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
            server.close()

    assert_same(scenario)


def test_options_of_listening_sockets_are_asyncios():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        variants = [{}, {"reuse_address": False}, {"reuse_port": True}, {"backlog": 1}]
        if sys.version_info >= (3, 13):
            variants.append({"keep_alive": True})
        for keywords in variants:
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, **keywords)
            sock = server.sockets[0]
            options = (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_KEEPALIVE)
            trace.append([sock.getsockopt(socket.SOL_SOCKET, option) for option in options])
            server.close()

    assert_same(scenario)


def test_reuse_port_lets_two_servers_share_a_port(loop):
    async def main():
        one = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, reuse_port=True)
        port = one.sockets[0].getsockname()[1]
        two = await loop.create_server(asyncio.Protocol, "127.0.0.1", port, reuse_port=True)
        one.close()
        two.close()

    loop.run_until_complete(main())


def test_an_address_in_use_is_raised_in_asyncios_words():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        kind, error, text = await outcome_of(loop.create_server(asyncio.Protocol, "127.0.0.1", port))
        trace.append((kind, error, text.replace(str(port), "PORT")))
        trace.append(await outcome_of(loop.create_server(asyncio.Protocol, "192.0.2.1", 0)))
        server.close()

    assert_same(scenario)


def test_wrong_arguments_of_create_server_are_refused_as_asyncio_refuses_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            for arguments, keywords in (
                ((), {}),
                (("127.0.0.1", 0), {"sock": sock}),
                ((), {"sock": datagrams}),
                (("127.0.0.1", 0), {"ssl": True}),
                (("127.0.0.1", 0), {"ssl_handshake_timeout": 1}),
                (("127.0.0.1", 0), {"ssl_shutdown_timeout": 1}),
            ):
                trace.append(await outcome_of(loop.create_server(asyncio.Protocol, *arguments, **keywords)))

    assert_same(scenario)


def test_closing_a_server_leaves_its_connections(loop):
    async def main():
        clients = Clients()
        server = await loop.create_server(clients, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        with client:
            await until(lambda: clients.made)
            server.close()
            client.send(b"still served")
            await until(lambda: clients.made[0].data == b"still served")
        await clients.made[0].lost
        await asyncio.wait_for(server.wait_closed(), 5)

    loop.run_until_complete(main())


def test_wait_closed_waits_as_the_running_version_does():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        clients = Clients()
        server = await loop.create_server(clients, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await until(lambda: clients.made)
            waiting = loop.create_task(server.wait_closed())
            await turns(3)
            trace.append(waiting.done())
            server.close()
            await turns(3)
            trace.append(waiting.done())
        await clients.made[0].lost
        await turns(3)
        trace.append(waiting.done())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert_same(scenario)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="close_clients and abort_clients came with 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_clients_are_ended_by_the_server(loop, method):
    async def main():
        clients = Clients()
        server = await loop.create_server(clients, "127.0.0.1", 0)
        raw = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(5)]
        await until(lambda: len(clients.made) == 5)
        clients.made[0].transport.write(bytes(8 << 20))
        server.close()
        getattr(server, method)()
        if method == "close_clients":
            assert not clients.made[0].lost.done()
            raw[0].setblocking(False)
            received = 0
            while chunk := await loop.sock_recv(raw[0], 1 << 20):
                received += len(chunk)
            assert received == 8 << 20
        for protocol in clients.made:
            await asyncio.wait_for(protocol.lost, 5)
        await asyncio.wait_for(server.wait_closed(), 5)
        for each in raw:
            each.close()

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # stock leaves the socket to the collector
def test_a_failing_factory_costs_one_connection_and_is_reported():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        made = []

        def handler(loop, context):
            trace.append((context["message"], sorted(context), repr(context.get("exception"))))

        loop.set_exception_handler(handler)

        def factory():
            if not made:
                made.append(None)
                raise LookupError("factory")
            made.append(Recorder())
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        for _ in range(2):
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                count = len(made)
                await until(lambda count=count: len(made) > count)
                client.setblocking(False)
                if len(made) == 1:
                    trace.append(await outcome_of(asyncio.wait_for(loop.sock_recv(client, 1), 5)))
        await made[1].lost
        server.close()

    assert_same(scenario)


def test_running_out_of_descriptors_while_accepting_pauses_and_resumes(loop, loop_kind):
    """asyncio reports it, waits a second and accepts again; in 3.13.0 it reports as often as its backlog is long."""
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main():
        clients = Clients()
        server = await loop.create_server(clients, "127.0.0.1", 0)
        raw = [socket.socket() for _ in range(10)]
        highest = max(each.fileno() for each in raw)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        try:
            for each in raw:
                each.setblocking(False)
                each.connect_ex(server.sockets[0].getsockname())
            await until(lambda: reports)
            await turns(20)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(reports) == 1 or loop_kind == "stock"
        assert reports[0]["message"] == "socket.accept() out of system resource"
        assert reports[0]["exception"].errno == errno.EMFILE
        assert sorted(reports[0]) == ["exception", "message", "socket"]
        await until(lambda: len(clients.made) == 10)
        for each in raw:
            each.close()
        for protocol in clients.made:
            await protocol.lost
        server.close()

    loop.run_until_complete(main())


def test_a_thousand_connections_at_once(loop):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def one(address, number):
        reader, writer = await asyncio.open_connection(*address)
        message = b"%08d" % number
        writer.write(message)
        echoed = await reader.readexactly(8)
        writer.close()
        await writer.wait_closed()
        return echoed == message

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1000)
        address = server.sockets[0].getsockname()
        results = await asyncio.gather(*(one(address, number) for number in range(1000)))
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)
        return results

    try:
        assert all(loop.run_until_complete(main()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_repr_tells_what_is_listened_on(loop):
    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        assert "Server sockets=" in repr(server)
        assert "127.0.0.1" in repr(server)
        server.close()

    loop.run_until_complete(main())
