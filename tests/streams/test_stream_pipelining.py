"""Replies to pipelined requests: all bytes arrive, in order and in the turn in which they were written."""

import asyncio
import os
import signal
import socket
import threading

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.differential import assert_same_functions, masked

LINES = [b"%d\n" % number for number in range(50)]


def listening(handler, requests, *, after=None, read=True):
    """A scenario: a server with `handler(reader, writer, trace)`, and a raw client that sends `requests` at once."""

    async def scenario(module, trace):
        done = asyncio.Event()

        async def handle(reader, writer):
            await asyncio.sleep(0.02)  # all requests are in the reader by now
            try:
                await handler(reader, writer, trace)
            except Exception as error:
                trace.append((type(error).__name__, masked(str(error))))
                writer.close()
            finally:
                done.set()

        server = await module.start_server(handle, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        with client:
            client.sendall(requests)
            client.setblocking(False)
            got = b""
            while read and (data := await asyncio.get_running_loop().sock_recv(client, 65536)):
                got += data
            trace.append(got)
            await done.wait()
            if after:
                await after(trace)
        server.close()

    return scenario


async def echo(reader, writer, trace):
    for _ in LINES:
        writer.write(await reader.readline())
        await writer.drain()


def test_echoed_lines_keep_their_order():
    async def handler(reader, writer, trace):
        await echo(reader, writer, trace)
        trace.append(writer.transport.get_write_buffer_size())
        writer.close()

    assert_same_functions(listening(handler, b"".join(LINES)))


@pytest.mark.parametrize("end", ["close", "abort", "write_eof", "writelines", "direct", "stop"])
def test_what_was_written_goes_before_what_ends_it(end):
    async def handler(reader, writer, trace):
        writer.write(await reader.readline())
        writer.write(b"second ")
        if end == "abort":
            writer.transport.abort()
            return
        if end == "write_eof":
            writer.write_eof()
            trace.append(len(await reader.readexactly(len(b"".join(LINES[1:])))))
        elif end == "writelines":
            writer.writelines([b"third ", b"fourth"])
        elif end == "direct":
            writer.transport.write(b"third")
            writer.write(b"fourth")
        elif end == "stop":
            asyncio.get_running_loop().call_soon(writer.write, b"third")
            await asyncio.sleep(0)
        writer.close()

    # An abort with unread data resets the connection: what the client sees of it is the kernel's.
    assert_same_functions(listening(handler, b"".join(LINES), read=end != "abort"))


def test_more_than_is_gathered_and_more_than_the_socket_takes():
    block = bytes(range(256)) * 300

    async def handler(reader, writer, trace):
        for _ in range(40):
            writer.write(block)
            writer.write(b"x")
            await writer.drain()
        trace.append(len(await reader.read(1)))
        writer.close()

    assert_same_functions(listening(handler, b"ab"))


def test_an_exception_in_the_handler_loses_nothing_written():
    async def handler(reader, writer, trace):
        writer.write(await reader.readline())
        raise ValueError("after a write")

    assert_same_functions(listening(handler, b"".join(LINES)))


def test_the_socket_itself_is_written_to_after():
    async def handler(reader, writer, trace):
        writer.write(await reader.readline())
        os.write(writer.get_extra_info("socket").fileno(), b"raw ")
        writer.write(b"last")
        writer.close()

    assert_same_functions(listening(handler, b"".join(LINES)))


def test_a_socket_asked_for_before_is_used_after_a_write():
    async def handler(reader, writer, trace):
        sock = writer.get_extra_info("socket")
        writer.write(await reader.readline())
        os.write(sock.fileno(), b"raw ")
        writer.write(await reader.readline())
        sock.shutdown(socket.SHUT_WR)
        await reader.readline()
        writer.close()

    assert_same_functions(listening(handler, b"".join(LINES)))


def test_a_file_is_sent_after(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"file" * 1000)

    async def handler(reader, writer, trace):
        writer.write(await reader.readline())
        with path.open("rb") as file:
            trace.append(await asyncio.get_running_loop().sendfile(writer.transport, file))
        writer.write(b"last")
        writer.close()

    assert_same_functions(listening(handler, b"".join(LINES)))


def test_tls_begins_after():
    async def scenario(module, trace):
        async def handle(reader, writer):
            writer.write(await reader.readline())
            await writer.start_tls(server_context())
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await module.start_server(handle, "127.0.0.1", 0)
        reader, writer = await module.open_connection(*server.sockets[0].getsockname())
        writer.write(b"plain\n")
        trace.append(await reader.readline())
        await writer.start_tls(client_context(), server_hostname="localhost")
        writer.write(b"secret\n")
        trace.append(await reader.read())
        writer.close()
        server.close()

    assert_same_functions(scenario)


def test_an_answer_to_one_of_many_requests_goes_out_with_the_turn():
    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            reader, writer = await ferrio.open_connection(sock=ours)
            theirs.sendall(b"one\ntwo\n")
            writer.write(await reader.readline())
            with pytest.raises(BlockingIOError):
                theirs.recv(10)
            await asyncio.sleep(0)
            assert theirs.recv(10) == b"one\n"
            writer.write(await reader.readline())
            assert theirs.recv(10) == b"two\n"
            writer.close()
            await writer.wait_closed()

    ferrio.run(main())


def test_the_loop_stops_in_the_turn_of_a_write():
    """What was written is sent although no further turn comes."""
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    with theirs:

        async def connect():
            reader, writer = await ferrio.open_connection(sock=ours)
            theirs.sendall(b"one\ntwo\n")
            writer.write(await reader.readline())
            loop.stop()
            return writer

        task = loop.create_task(connect())
        loop.run_forever()
        assert theirs.recv(10) == b"one\n"
        task.result().close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_an_exit_in_the_turn_of_a_write():
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        kept = []

        async def connect():
            reader, writer = await ferrio.open_connection(sock=ours)
            kept.append(writer)
            theirs.sendall(b"one\ntwo\n")
            writer.write(await reader.readline())
            raise SystemExit(3)

        task = loop.create_task(connect())
        with pytest.raises(SystemExit):
            loop.run_forever()
        # Retrieved, or the report would come whenever the last traceback lets go of the task.
        assert isinstance(task.exception(), SystemExit)
        assert theirs.recv(10) == b"one\n"
        kept[0].close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_a_write_of_another_thread():
    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await ferrio.open_connection(sock=ours)
            theirs.sendall(b"one\ntwo\n")
            await reader.readline()
            thread = threading.Thread(target=writer.write, args=(b"from a thread",))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert theirs.recv(20) == b"from a thread"
            writer.close()
            await writer.wait_closed()

    ferrio.run(main())


FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@FORKS
def test_a_child_forked_in_the_turn_sends_nothing_twice():
    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await ferrio.open_connection(sock=ours)
            theirs.sendall(b"one\ntwo\n")
            writer.write(await reader.readline())
            if not (child := os.fork()):
                writer.transport.abort()
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
            writer.write(b"parent")
            await writer.drain()
            await asyncio.sleep(0)
            writer.close()
            await writer.wait_closed()
            assert theirs.recv(50) == b"one\nparent"

    ferrio.run(main())


@FORKS
@pytest.mark.parametrize("before", [False, True])
def test_a_child_forked_in_the_turn_writes_for_itself(before):
    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await ferrio.open_connection(sock=ours)
            theirs.sendall(b"one\ntwo\nthree\n")
            line = await reader.readline()
            if before:
                writer.write(b"before ")
            if not (child := os.fork()):
                writer.write(b"child " + line)
                writer.write(b"again ")
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
            writer.write(b"parent")
            writer.close()
            await writer.wait_closed()
            expected = b"child one\nagain before parent" if before else b"child one\nagain parent"
            assert theirs.recv(50) == expected

    ferrio.run(main())


def test_a_reset_while_something_waits():
    async def scenario(module, trace):
        ended = asyncio.get_running_loop().create_future()

        async def handle(reader, writer):
            await asyncio.sleep(0.02)
            try:
                while True:
                    writer.write(await reader.readline())
                    await writer.drain()
                    await asyncio.sleep(0.01)
            except Exception as error:
                ended.set_result(type(error).__name__)
                writer.close()

        server = await module.start_server(handle, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        client.sendall(b"".join(LINES))
        await asyncio.sleep(0.04)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        trace.append(await ended)
        server.close()

    assert_same_functions(scenario)
