"""The private attributes of asyncio's classes that tools read exist."""

import asyncio
import os
import socket
import threading

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.loops import FACTORIES, close


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


def attributes(shown, *names):
    return {name: getattr(shown, name) for name in names}


def test_a_loop_shows_its_settings_and_takes_them(loop):
    assert attributes(loop, "_debug", "_exception_handler", "_task_factory") == {
        "_debug": False,
        "_exception_handler": None,
        "_task_factory": None,
    }
    loop._debug, loop._exception_handler, loop._task_factory = True, print, asyncio.Task
    assert loop.get_debug()
    assert (loop.get_exception_handler(), loop.get_task_factory()) == (print, asyncio.Task)
    loop._debug, loop._exception_handler, loop._task_factory = False, None, None
    loop._check_closed()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop._check_closed()


def test_a_transport_shows_its_state(loop):
    async def main():
        made = loop.create_future()

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport):
                made.set_result(transport)

        server = await loop.create_server(Accepted, "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        assert attributes(transport, "_closing", "_conn_lost", "_eof", "_paused", "_server", "_protocol") == {
            "_closing": False,
            "_conn_lost": 0,
            "_eof": False,
            "_paused": False,
            "_server": None,
            "_protocol": protocol,
        }
        assert (transport._low_water, transport._high_water) == transport.get_write_buffer_limits()
        assert transport.max_size == 256 * 1024
        assert (await made)._server is server
        transport.write_eof()
        assert transport._eof
        transport.abort()
        assert transport._closing
        assert transport._conn_lost == 1
        server.close()
        await asyncio.sleep(0.001)
        made.result().abort()
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_a_tls_transport_shows_what_is_below_and_above(loop):
    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_context())
        context = client_context()
        transport, protocol = await loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname(), ssl=context, server_hostname="localhost"
        )
        below = transport._ssl_protocol
        assert attributes(below, "_app_protocol", "_app_transport", "_sslcontext", "_loop", "_sslobj") == {
            "_app_protocol": protocol,
            "_app_transport": transport,
            "_sslcontext": context,
            "_loop": loop,
            "_sslobj": transport.get_extra_info("ssl_object"),
        }
        assert (below._server_side, below._server_hostname, transport._closed) == (False, "localhost", False)
        assert below._transport._sock.fileno() == transport.get_extra_info("socket").fileno()
        transport.abort()
        await asyncio.sleep(0.001)
        assert below._transport is None
        server.close()

    loop.run_until_complete(main())


def test_a_datagram_endpoint_shows_its_state(loop):
    async def main():
        transport, protocol = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        names = ("_closing", "_conn_lost", "_address", "_buffer_size", "_protocol", "max_size")
        assert attributes(transport, *names) == {
            "_closing": False,
            "_conn_lost": 0,
            "_address": None,
            "_buffer_size": 0,
            "_protocol": protocol,
            "max_size": 256 * 1024,
        }
        assert isinstance(transport._sock, socket.socket)
        assert transport._sock.fileno() == transport._sock_fd
        assert (transport._low_water, transport._high_water) == transport.get_write_buffer_limits()
        transport.abort()
        assert transport._closing
        await asyncio.sleep(0)
        assert transport._sock is None

    loop.run_until_complete(main())


def test_pipes_show_their_state(loop):
    async def main():
        ends = [os.fdopen(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]
        reading, protocol = await loop.connect_read_pipe(asyncio.Protocol, ends[0])
        writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, ends[1])
        assert attributes(reading, "_pipe", "_fileno", "_closing", "_paused", "_protocol", "_loop", "_extra") == {
            "_pipe": ends[0],
            "_fileno": ends[0].fileno(),
            "_closing": False,
            "_paused": False,
            "_protocol": protocol,
            "_loop": loop,
            "_extra": {"pipe": ends[0]},
        }
        assert attributes(writing, "_pipe", "_closing", "_conn_lost", "_protocol_paused", "_extra") == {
            "_pipe": ends[1],
            "_closing": False,
            "_conn_lost": 0,
            "_protocol_paused": False,
            "_extra": {"pipe": ends[1]},
        }
        assert (writing._low_water, writing._high_water) == writing.get_write_buffer_limits()
        for transport in (reading, writing):
            transport.close()
            assert transport._closing
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())


def test_a_subprocess_shows_its_state(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(asyncio.SubprocessProtocol, "cat")
        assert attributes(transport, "_pid", "_returncode", "_closed", "_protocol", "_loop") == {
            "_pid": transport.get_pid(),
            "_returncode": None,
            "_closed": False,
            "_protocol": protocol,
            "_loop": loop,
        }
        transport.close()
        assert transport._closed
        await transport._wait()
        assert transport._returncode == -9

    loop.run_until_complete(main())


def test_the_loop_is_an_abstract_loop_and_no_base_loop():
    loop = ferrio.new_event_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert not isinstance(loop, asyncio.BaseEventLoop)
    assert not hasattr(loop, "_selector")
    assert not hasattr(ferrio.EventLoop, "_run_once")
    with pytest.raises(AttributeError, match=r"'EventLoop' object has no attribute '_selector': .* define time\(\)"):
        _ = loop._selector
    loop._selector = "the program's own"
    assert loop._selector == "the program's own"
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
