"""Watching descriptors: readers, writers, and descriptors that cannot be watched or no longer exist."""

import asyncio
import errno
import os
import resource
import socket
import tempfile

import pytest

import ferrio
from tests.support.differential import assert_same, outcome


def turns(loop, count=3):
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


def test_a_reader_is_called_while_there_is_something_to_read(loop, pair):
    left, right = pair
    trace = []
    loop.add_reader(left, trace.append, "readable")
    turns(loop)
    assert trace == []
    right.send(b"x")
    turns(loop, 5)
    assert len(trace) >= 3, "readiness is a level, not an edge"
    left.recv(1)
    trace.clear()
    turns(loop)
    assert trace == []
    assert loop.remove_reader(left) is True
    assert loop.remove_reader(left) is False


def test_a_writer_is_called_while_the_socket_takes_data(loop, pair):
    left, _ = pair
    trace = []
    loop.add_writer(left, trace.append, "writable")
    turns(loop)
    assert trace
    assert loop.remove_writer(left) is True
    trace.clear()
    turns(loop)
    assert trace == []
    assert loop.remove_writer(left) is False


def test_reader_and_writer_of_one_descriptor_are_separate(loop, pair):
    left, right = pair
    trace = []
    loop.add_reader(left, trace.append, "read")
    loop.add_writer(left, trace.append, "write")
    right.send(b"x")
    turns(loop, 2)
    assert {"read", "write"} == set(trace)
    loop.remove_writer(left)
    trace.clear()
    turns(loop, 2)
    assert set(trace) == {"read"}
    loop.remove_reader(left)


def test_adding_again_replaces_the_callback(loop, pair):
    left, right = pair
    trace = []
    loop.add_reader(left, trace.append, "old")
    loop.add_reader(left, trace.append, "new")
    right.send(b"x")
    turns(loop, 2)
    loop.remove_reader(left)
    assert set(trace) == {"new"}


def test_numbers_and_objects_with_fileno_mean_the_same(loop, pair):
    left, _ = pair
    loop.add_reader(left, print)
    assert loop.remove_reader(left.fileno()) is True
    loop.add_writer(left.fileno(), print)
    assert loop.remove_writer(left) is True


def test_a_reader_removed_in_the_same_turn_is_not_called(loop):
    one, one_peer = socket.socketpair()
    two, two_peer = socket.socketpair()
    trace = []

    def called(name, other):
        trace.append(name)
        loop.remove_reader(other)

    with one, one_peer, two, two_peer:
        loop.add_reader(one, called, "one", two)
        loop.add_reader(two, called, "two", one)
        one_peer.send(b"x")
        two_peer.send(b"x")
        turns(loop, 2)
        loop.remove_reader(one)
        loop.remove_reader(two)
    assert len(set(trace)) == 1


def test_the_end_of_the_stream_is_readable(loop, pair):
    left, right = pair
    trace = []
    loop.add_reader(left, lambda: (trace.append(left.recv(10)), loop.remove_reader(left), loop.stop()))
    right.close()
    loop.run_forever()
    assert trace == [b""]


def test_a_reset_wakes_a_reader_and_a_writer(loop):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    trace = set()
    with server:
        while True:
            try:
                server.setblocking(False)
                server.send(bytes(65536))
            except BlockingIOError:
                break
        loop.add_writer(server, trace.add, "writer")
        loop.add_reader(server, trace.add, "reader")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        turns(loop, 5)
        loop.remove_writer(server)
        loop.remove_reader(server)
    assert trace == {"reader", "writer"}


def test_wrong_descriptors_are_refused_as_asyncio_refuses_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryFile() as file:
            for call in (loop.add_reader, loop.add_writer):
                trace.append(outcome(call, file, print)[1:3])  # PermissionError: epoll takes no regular files
            trace.append(outcome(loop.remove_reader, file))
            trace.append(outcome(loop.remove_writer, file))
        for wrong in (-1, "x", 1.5, None, object()):
            trace.append((wrong.__class__, outcome(loop.add_reader, wrong, print)[1]))
            trace.append((wrong.__class__, outcome(loop.remove_reader, wrong)[1]))
        left, right = socket.socketpair()
        number = left.fileno()
        left.close()
        right.close()
        trace.append(outcome(loop.add_reader, number, print)[1])
        trace.append(outcome(loop.remove_reader, number))
        trace.append(outcome(loop.add_reader, left, print)[1])

    assert_same(scenario)


def test_a_refused_descriptor_can_be_used_by_number_afterwards(loop):
    left, right = socket.socketpair()
    with left, right:
        with tempfile.TemporaryFile() as file:
            number = file.fileno()
            with pytest.raises(PermissionError):
                loop.add_reader(number, print)
        copy = os.dup2(left.fileno(), number)
        try:
            trace = []
            right.send(b"x")
            loop.add_reader(copy, trace.append, "x")
            turns(loop, 2)
            loop.remove_reader(copy)
        finally:
            os.close(copy)
    assert trace


def test_a_closed_descriptor_can_be_reused(loop):
    """Closed while watched, which is the program's fault, and its number taken by another socket."""
    left, right = socket.socketpair()
    number = left.fileno()
    trace = []
    loop.add_reader(left, trace.append, "old")
    left.close()
    new, new_peer = socket.socketpair()
    try:
        assert number in (new.fileno(), new_peer.fileno())
        reused, other = (new, new_peer) if new.fileno() == number else (new_peer, new)
        loop.remove_reader(number)
        loop.add_reader(reused, trace.append, "new")
        other.send(b"x")
        turns(loop, 3)
        assert set(trace) == {"new"}
        loop.remove_reader(reused)
    finally:
        for each in (right, new, new_peer):
            each.close()


def test_a_descriptor_closed_while_watched_does_not_disturb_the_loop(loop):
    left, right = socket.socketpair()
    loop.add_reader(left, print)
    left.close()
    right.close()
    turns(loop)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def test_a_pipe_can_be_watched(loop):
    read, write = os.pipe()
    trace = []
    try:
        loop.add_reader(read, lambda: (trace.append(os.read(read, 10)), loop.stop()))
        os.write(write, b"pipe")
        loop.run_forever()
        loop.remove_reader(read)
    finally:
        os.close(read)
        os.close(write)
    assert trace == [b"pipe"]


def test_a_failing_reader_is_reported_and_called_again(loop, pair):
    left, right = pair
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(type(context["exception"])))
    loop.add_reader(left, lambda: 1 / 0)
    right.send(b"x")
    turns(loop, 4)
    loop.remove_reader(left)
    assert len(seen) >= 2
    assert set(seen) == {ZeroDivisionError}


def test_descriptors_of_transports_are_refused(loop):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
            peer = transport.get_extra_info("socket")
            for call in (loop.add_reader, loop.add_writer):
                with pytest.raises(RuntimeError, match=r"is used by transport"):
                    call(peer.fileno(), print)
            for call in (loop.remove_reader, loop.remove_writer):
                with pytest.raises(RuntimeError, match=r"is used by transport"):
                    call(peer.fileno())
            transport.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_a_loop_that_cannot_have_descriptors_says_emfile():
    """On ferrio alone: stock leaves a half-made loop behind that fails once more when it is collected."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match=r"Too many open files") as caught:
            ferrio.new_event_loop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE


def test_readers_on_a_closed_loop_are_refused(loop, pair):
    loop.close()
    for call in (loop.add_reader, loop.add_writer):
        with pytest.raises(RuntimeError, match=r"Event loop is closed"):
            call(pair[0], print)


def test_many_descriptors_are_watched_at_once(loop):
    pairs = [socket.socketpair() for _ in range(300)]
    seen = set()
    try:
        for number, (left, _) in enumerate(pairs):
            loop.add_reader(left, lambda number=number, left=left: (left.recv(1), seen.add(number)))
        for _, right in pairs:
            right.send(b"x")
        turns(loop, 5)
        for left, _ in pairs:
            loop.remove_reader(left)
    finally:
        for both in pairs:
            for each in both:
                each.close()
    assert seen == set(range(300))
