"""The sock_* methods on raw sockets: results, waiting and cancellation."""

import asyncio
import socket

import pytest

from tests.support.differential import assert_same, outcome, outcome_of
from tests.support.peers import listening, read_exactly, reset, turns


def unwatched(loop, sock):
    return loop.remove_reader(sock) is False and loop.remove_writer(sock) is False


def test_recv_and_sendall(loop, pair):
    async def main():
        left, right = pair
        assert await loop.sock_sendall(left, b"hello") is None
        assert await loop.sock_recv(right, 100) == b"hello"
        assert await loop.sock_sendall(left, b"") is None
        await loop.sock_sendall(left, bytearray(b"array"))
        await loop.sock_sendall(left, memoryview(b"view"))
        assert await read_exactly(right, 9) == b"arrayview"
        left.close()
        assert await loop.sock_recv(right, 100) == b""

    loop.run_until_complete(main())


@pytest.mark.parametrize("change", ["extend", "clear", "shorten"])
def test_what_is_being_sent_keeps_its_size(change):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)
            data = bytearray(1 << 22)
            changes = {
                "extend": lambda: data.extend(b"more"),
                "clear": data.clear,
                "halve": lambda: data.__delitem__(slice(9)),
            }
            sending = asyncio.create_task(loop.sock_sendall(left, data))
            await asyncio.sleep(0.01)
            trace.append(outcome(changes[change]))
            trace.append(len(await read_exactly(right, len(data))))
            await sending
            data.clear()
        trace.append(len(data))

    assert_same(scenario)


def test_what_is_there_is_returned_at_once(loop, pair):
    """No turn of the loop passes: the call is tried before it waits."""

    async def main():
        left, right = pair
        ran = []
        right.send(b"now")
        loop.call_soon(ran.append, True)
        assert await loop.sock_recv(left, 10) == b"now"
        await loop.sock_sendall(left, b"at once")
        assert not ran
        assert unwatched(loop, left)

    loop.run_until_complete(main())


def test_recv_waits_for_data(loop, pair):
    async def main():
        left, right = pair
        loop.call_later(0.002, right.send, b"later")
        assert await loop.sock_recv(left, 10) == b"later"
        assert unwatched(loop, left)

    loop.run_until_complete(main())


def test_recv_into_fills_any_buffer(loop, pair):
    async def main():
        left, right = pair
        buffer = bytearray(8)
        right.send(b"12345")
        assert await loop.sock_recv_into(left, buffer) == 5
        assert buffer == b"12345\0\0\0"
        loop.call_later(0.002, right.send, b"67")
        assert await loop.sock_recv_into(left, memoryview(buffer)[5:]) == 2
        assert buffer == b"1234567\0"

    loop.run_until_complete(main())


def test_sendall_of_much_waits_for_the_reader(loop, pair):
    async def main():
        left, right = pair
        data = bytes(range(256)) * 8192
        sending = loop.create_task(loop.sock_sendall(left, data))
        await turns(2)
        assert not sending.done()
        assert await read_exactly(right, len(data)) == data
        await sending
        assert unwatched(loop, left)

    loop.run_until_complete(main())


def test_both_directions_of_one_socket_at_once(loop, pair):
    async def main():
        left, right = pair
        receiving = loop.create_task(loop.sock_recv(left, 10))
        data = bytes(1 << 20)
        sending = loop.create_task(loop.sock_sendall(left, data))
        await turns(2)
        await loop.sock_sendall(right, b"hello")
        assert await receiving == b"hello"
        assert await read_exactly(right, len(data)) == data
        await sending

    loop.run_until_complete(main())


def test_a_cancelled_recv_takes_no_data(loop, pair):
    async def main():
        left, right = pair
        receiving = loop.create_task(loop.sock_recv(left, 10))
        await turns(2)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        right.send(b"kept")
        await turns(3)
        assert await loop.sock_recv(left, 10) == b"kept"
        assert unwatched(loop, left)

    loop.run_until_complete(main())


def test_a_recv_cancelled_when_data_has_come_takes_none_or_all(loop, pair):
    async def main():
        left, right = pair
        for _ in range(10):
            receiving = loop.create_task(loop.sock_recv(left, 10))
            await turns(2)
            right.send(b"x")
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert await loop.sock_recv(left, 10) == b"x"

    loop.run_until_complete(main())


def test_wait_for_around_recv_can_be_repeated(loop, pair):
    async def main():
        left, right = pair
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_recv(left, 10), 0.001)
        right.send(b"finally")
        assert await asyncio.wait_for(loop.sock_recv(left, 10), 1) == b"finally"

    loop.run_until_complete(main())


def test_a_cancelled_sendall_stops_sending(loop, pair):
    async def main():
        left, right = pair
        sending = loop.create_task(loop.sock_sendall(left, bytes(4 << 20)))
        await turns(2)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert unwatched(loop, left)
        left.close()
        received = 0
        while chunk := await loop.sock_recv(right, 1 << 20):
            received += len(chunk)
        assert 0 < received < 4 << 20

    loop.run_until_complete(main())


def test_connect_and_accept(loop):
    async def main():
        with listening() as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = loop.create_task(loop.sock_accept(listener))
            await turns(2)
            assert await loop.sock_connect(client, listener.getsockname()) is None
            server, address = await accepting
            with server:
                assert address == client.getsockname()
                assert server.gettimeout() == 0
                await loop.sock_sendall(client, b"hello")
                assert await loop.sock_recv(server, 10) == b"hello"
            assert unwatched(loop, listener)

    loop.run_until_complete(main())


def test_a_cancelled_accept_loses_no_connection(loop):
    async def main():
        with listening() as listener, socket.socket() as client:
            listener.setblocking(False)
            accepting = loop.create_task(loop.sock_accept(listener))
            await turns(2)
            accepting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await accepting
            client.connect(listener.getsockname())
            server, _ = await loop.sock_accept(listener)
            server.close()

    loop.run_until_complete(main())


def test_connect_refused_is_raised_in_asyncios_words():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with socket.socket() as client:
                client.setblocking(False)
                kind, error, text = await outcome_of(loop.sock_connect(client, unused.getsockname()))
                trace.append((kind, error, text.replace(str(unused.getsockname()[1]), "PORT")))

    assert_same(scenario)


def test_connect_resolves_names(loop):
    async def main():
        with listening() as listener, socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("localhost", listener.getsockname()[1]))
            assert client.getpeername() == listener.getsockname()

    loop.run_until_complete(main())


def test_connect_to_a_full_backlog_can_be_cancelled(loop):
    async def main():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            clients = [socket.socket() for _ in range(4)]
            tasks = []
            for client in clients:
                client.setblocking(False)
                tasks.append(loop.create_task(loop.sock_connect(client, listener.getsockname())))
            await asyncio.sleep(0.005)
            waiting = [task for task in tasks if not task.done()]
            assert waiting
            for task in waiting:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for client in clients:
                assert unwatched(loop, client)
                client.close()

    loop.run_until_complete(main())


def test_datagrams(loop):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
            for each in (one, two):
                each.bind(("127.0.0.1", 0))
                each.setblocking(False)
            assert await loop.sock_sendto(one, b"datagram", two.getsockname()) == 8
            assert await loop.sock_recvfrom(two, 100) == (b"datagram", one.getsockname())
            buffer = bytearray(10)
            receiving = loop.create_task(loop.sock_recvfrom_into(two, buffer))
            await turns(2)
            await loop.sock_sendto(one, b"into", two.getsockname())
            assert await receiving == (4, one.getsockname())
            assert buffer[:4] == b"into"
            await loop.sock_sendto(one, b"limited", two.getsockname())
            assert await loop.sock_recvfrom_into(two, buffer, 3) == (3, one.getsockname())

    loop.run_until_complete(main())


def test_a_reset_is_raised(loop):
    async def main():
        with listening() as listener, socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, listener.getsockname())
            server, _ = listener.accept()
            receiving = loop.create_task(loop.sock_recv(client, 10))
            await turns(2)
            reset(server)
            with pytest.raises(ConnectionResetError):
                await receiving

    loop.run_until_complete(main())


def test_sending_to_a_closed_peer_is_a_broken_pipe(loop, pair):
    async def main():
        left, right = pair
        right.close()
        with pytest.raises(BrokenPipeError):
            await loop.sock_sendall(left, b"x")

    loop.run_until_complete(main())


def test_a_socket_closed_while_it_is_waited_for(loop, pair):
    async def main():
        left, _ = pair
        receiving = loop.create_task(loop.sock_recv(left, 10))
        await turns(2)
        loop.remove_reader(left)
        left.close()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving

    loop.run_until_complete(main())


def test_wrong_arguments_are_refused_as_asyncio_refuses_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.send(b"0123456789")
            trace.append(await outcome_of(loop.sock_recv(left, -1)))
            trace.append((await outcome_of(loop.sock_recv(left, "x")))[1])
            trace.append((await outcome_of(loop.sock_sendall(left, "text")))[1])
            trace.append((await outcome_of(loop.sock_recv_into(left, b"constant")))[1])
            trace.append(await outcome_of(loop.sock_recv(left, 4)))
            trace.append(await outcome_of(loop.sock_recv(left, 0)))
            left.close()
            trace.append((await outcome_of(loop.sock_recv(left, 4)))[1])

    assert_same(scenario)


def test_debug_mode_refuses_blocking_sockets():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            for awaitable in (
                loop.sock_recv(left, 1),
                loop.sock_recv_into(left, bytearray(1)),
                loop.sock_recvfrom(left, 1),
                loop.sock_recvfrom_into(left, bytearray(1)),
                loop.sock_sendall(left, b""),
                loop.sock_sendto(left, b"", ("127.0.0.1", 1)),
                loop.sock_connect(left, ("127.0.0.1", 1)),
                loop.sock_accept(left),
            ):
                trace.append(await outcome_of(awaitable))

    assert_same(scenario, debug=True)


def test_a_tls_socket_is_refused():
    import ssl

    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with socket.socket() as plain:
            wrapped = ssl.create_default_context().wrap_socket(plain, server_hostname="x")
            with wrapped:
                wrapped.setblocking(False)
                for awaitable in (
                    loop.sock_recv(wrapped, 1),
                    loop.sock_recv_into(wrapped, bytearray(1)),
                    loop.sock_sendall(wrapped, b""),
                    loop.sock_connect(wrapped, ("127.0.0.1", 1)),
                    loop.sock_accept(wrapped),
                ):
                    trace.append(await outcome_of(awaitable))

    assert_same(scenario)


def test_a_method_does_nothing_before_it_is_awaited(loop, pair):
    left, right = pair
    right.send(b"x")
    coroutine = loop.sock_recv(left, 1)
    assert left.recv(1) == b"x"
    coroutine.close()


def test_the_methods_are_coroutines(loop, pair):
    for coroutine in (loop.sock_recv(pair[0], 1), loop.sock_sendall(pair[0], b"x"), loop.sock_accept(pair[0])):
        assert asyncio.iscoroutine(coroutine)
        coroutine.close()


def test_many_sockets_at_once(loop):
    async def main():
        pairs = [socket.socketpair() for _ in range(200)]
        for both in pairs:
            for each in both:
                each.setblocking(False)
        try:

            async def talk(number, left, right):
                message = b"%d" % number
                receiving = asyncio.create_task(loop.sock_recv(right, 100))
                await asyncio.sleep(0)
                await loop.sock_sendall(left, message)
                return await receiving == message

            assert all(await asyncio.gather(*(talk(number, *both) for number, both in enumerate(pairs))))
        finally:
            for both in pairs:
                for each in both:
                    each.close()

    loop.run_until_complete(main())
