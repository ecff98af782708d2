"""The loop calls its methods through the object, as asyncio's does, so that overrides and replacements take effect."""

import asyncio
import contextlib
import contextvars
import socket
import tempfile
from typing import Any

import pytest

import ferrio
from tests.support.loops import close
from tests.support.peers import Recorder, listening, turns

BASES = {"stock": asyncio.SelectorEventLoop, "ferrio": ferrio.EventLoop}


@pytest.fixture(params=["subclass", "instance"])
def run(request):
    """Runs a scenario with (calls, ...) on loops whose methods note their calls; the traces are equal."""

    def run(scenario, *names):
        traces = []
        for base in BASES.values():
            trace: list = []
            loop = subclass(base, trace, names)() if request.param == "subclass" else patched(base(), trace, names)
            try:
                loop.run_until_complete(asyncio.wait_for(scenario(loop, trace), 10))
            finally:
                close(loop)
            traces.append(trace)
        assert traces[0], "the scenario left no trace"
        assert traces[1] == traces[0]

    return run


def noting(method, name, trace):
    def noting(*arguments, **keywords):
        trace.append(name)
        return method(*arguments, **keywords)

    return noting


def subclass(base, trace, names):
    return type("Subclass", (base,), {name: noting(getattr(base, name), name, trace) for name in names})


def patched(loop, trace, names):
    for name in names:
        setattr(loop, name, noting(getattr(loop, name), name, trace))
    return loop


async def connected(loop, listener, **keywords):
    transport, _ = await loop.create_connection(Recorder, *listener.getsockname()[:2], **keywords)
    transport.abort()
    await turns(3)


@pytest.mark.parametrize("keywords", [{}, {"happy_eyeballs_delay": 0.1}, {"local_addr": ("127.0.0.1", 0)}])
def test_create_connection_connects_by_sock_connect(run, keywords):
    async def scenario(loop, trace):
        with listening() as listener:
            await connected(loop, listener, **keywords)

    run(scenario, "sock_connect")


def test_a_failure_of_sock_connect_is_that_of_create_connection(run):
    async def scenario(loop, trace):
        for delay in (None, 0.05):
            with listening() as listener:
                address = listener.getsockname()
            with pytest.raises(ConnectionRefusedError) as caught:
                await loop.create_connection(Recorder, *address, happy_eyeballs_delay=delay)
            trace.append(str(caught.value).split("'")[0])

    run(scenario, "sock_connect")


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@pytest.mark.parametrize("delay", [None, 0.05])
def test_sock_connect_decides_which_address_is_connected_to(base: Any, delay):
    """The first is refused without being asked, the second one is taken elsewhere."""

    class Loop(base):
        async def sock_connect(self, sock, address):
            if address == ("192.0.2.1", 9):
                raise OSError("not there")
            assert address == ("192.0.2.2", 9)
            await super().sock_connect(sock, self.real)

        async def getaddrinfo(self, host, port, **_):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{last}", 9)) for last in (1, 2, 3)]

    async def main(listener):
        loop.real = listener.getsockname()
        transport, _ = await loop.create_connection(Recorder, "somewhere", 9, happy_eyeballs_delay=delay)
        assert transport.get_extra_info("peername") == loop.real
        transport.abort()
        await turns(3)

    loop = Loop()
    with listening() as listener:
        loop.run_until_complete(main(listener))
    close(loop)


def test_a_cancelled_race_closes_its_sockets():
    """The fixture that counts descriptors is the judge."""

    class Loop(ferrio.EventLoop):
        async def sock_connect(self, sock, address):
            await asyncio.sleep(10)

    async def main():
        task = loop.create_task(loop.create_connection(Recorder, "127.0.0.1", 9, happy_eyeballs_delay=0.01))
        await asyncio.sleep(0.03)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await turns(3)

    loop = Loop()
    loop.run_until_complete(main())
    close(loop)


def test_unix_and_datagram_sockets_are_connected_by_sock_connect(run):
    async def scenario(loop, trace):
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{directory}/socket")
            listener.listen()
            transport, _ = await loop.create_unix_connection(Recorder, f"{directory}/socket")
            transport.abort()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9))
        transport.abort()
        await turns(3)

    run(scenario, "sock_connect")


def test_sendfile_sends_by_sock_sendfile(run):
    async def scenario(loop, trace):
        with listening() as listener, tempfile.TemporaryFile() as file:
            file.write(b"file")
            file.flush()
            transport, _ = await loop.create_connection(Recorder, *listener.getsockname())
            peer, _ = listener.accept()
            with peer:
                trace.append(await loop.sendfile(transport, file))
                trace.append(peer.recv(10))
            transport.abort()
            await turns(3)

    run(scenario, "sock_sendfile")


def test_names_are_looked_up_by_getaddrinfo(run):
    async def scenario(loop, trace):
        with listening() as listener:
            transport, _ = await loop.create_connection(Recorder, "localhost", listener.getsockname()[1], family=2)
            transport.abort()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("localhost", 0), family=2)
        transport.abort()
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        server.close()
        await turns(3)

    run(scenario, "getaddrinfo")


def test_what_waits_for_a_socket_waits_for_a_future_of_create_future(run):
    async def scenario(loop, trace):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            receiving = loop.create_task(loop.sock_recv(ours, 10))
            await turns(2)
            trace.append("waiting")
            theirs.send(b"data")
            trace.append(await receiving)

    run(scenario, "create_future")


def test_errors_go_to_call_exception_handler(run):
    async def scenario(loop, trace):
        class Failing(Recorder):
            def data_received(self, data):
                raise ZeroDivisionError

        loop.set_exception_handler(lambda _, context: trace.append(type(context["exception"]).__name__))
        with listening() as listener:
            _, protocol = await loop.create_connection(Failing, *listener.getsockname())
            peer, _ = listener.accept()
            with peer:
                peer.send(b"data")
                await protocol.lost

    run(scenario, "call_exception_handler")


@pytest.mark.parametrize("delay", [None, 0.05])
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_create_connection_connects_by_a_replaced_method_of_the_socket_class(base, delay, monkeypatch):
    addresses = []
    original = socket.socket.connect

    def connect(sock, address):
        addresses.append(address)
        return original(sock, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    loop = base()
    try:
        with listening() as listener:
            address = listener.getsockname()
            loop.run_until_complete(connected(loop, listener, happy_eyeballs_delay=delay))
    finally:
        close(loop)
    assert addresses == [address]


@pytest.mark.parametrize("delay", [None, 0.05])
def test_a_refused_connection_is_reported_as_by_asyncio(delay):
    with listening() as listener:
        address = listener.getsockname()
    told = []
    for base in BASES.values():
        loop = base()
        try:
            with pytest.raises(ConnectionRefusedError) as caught:
                loop.run_until_complete(loop.create_connection(Recorder, *address, happy_eyeballs_delay=delay))
        finally:
            close(loop)
        told.append((caught.value.args, caught.value.errno))
    assert told[0] == told[1]


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_call_later_calls_call_at(base: Any):
    """Loops with a time of their own override it there."""
    calls = []

    class Own(base):
        def call_at(self, when, callback, *args, context=None):
            calls.append((callback, args, context))
            return super().call_at(when, callback, *args, context=context)

    loop = Own()
    context = contextvars.copy_context()
    try:
        loop.call_later(5, print, 1, 2, context=context).cancel()
        assert calls.pop() == (print, (1, 2), context)
        loop.run_until_complete(asyncio.sleep(0.001))
        assert len(calls) == 1
    finally:
        close(loop)
