"""Private attributes of asyncio's that tools read are there."""

import asyncio
import socket
import threading

import pytest

import ferrio
from tests.certificates import server_context
from tests.conftest import FACTORIES, close


@pytest.fixture(params=FACTORIES)
def loop(request):
    loop = FACTORIES[request.param]()
    yield loop
    if not loop.is_closed():
        close(loop)


def test_a_loop_shows_whether_it_is_closed(loop):
    assert loop._closed is False
    loop.close()
    assert loop._closed is True


def test_a_loop_shows_its_thread_while_it_runs(loop):
    async def main():
        return loop._thread_id, loop._stopping

    assert loop._thread_id is None
    assert loop.run_until_complete(main()) == (threading.get_ident(), False)


def test_a_loop_shows_what_is_ready_and_what_is_scheduled(loop):
    ready = [loop.call_soon(int), loop.call_soon(str)]
    timer = loop.call_later(60, int)
    assert list(loop._ready) == ready
    assert list(loop._scheduled) == [timer]
    assert timer._scheduled
    assert timer._when > loop.time()
    task = loop.create_task(asyncio.sleep(0))
    assert len(loop._ready) == 3
    loop.run_until_complete(task)
    assert list(loop._ready) == []
    timer.cancel()


def test_a_server_shows_its_context_and_its_arguments(loop):
    async def main():
        context = server_context()
        for ssl_context in (None, context):
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=ssl_context, backlog=7)
            assert server._ssl_context is ssl_context
            assert server._protocol_factory is asyncio.Protocol
            assert (server._backlog, server._serving) == (7, True)
            server.close()
            await server.wait_closed()

    loop.run_until_complete(main())


def test_a_transport_shows_its_socket(loop):
    async def main():
        one, other = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=one)
        assert isinstance(transport._sock, socket.socket)
        assert transport._sock.fileno() == transport.get_extra_info("socket").fileno()
        transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport._sock is None
        other.close()

    loop.run_until_complete(main())


def test_the_loop_is_an_abstract_loop_and_no_base_loop():
    loop = ferrio.new_event_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert not isinstance(loop, asyncio.BaseEventLoop)
    assert not hasattr(loop, "_selector")
    close(loop)


def test_a_replaced_run_of_handles_is_not_called(monkeypatch):
    calls = []
    monkeypatch.setattr(asyncio.events.Handle, "_run", lambda _: calls.append("replaced"))
    loop = ferrio.new_event_loop()
    loop.call_soon(calls.append, "ours")
    loop.call_soon(loop.stop)
    loop.run_forever()
    close(loop)
    assert calls == ["ours"]
