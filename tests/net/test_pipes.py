"""Pipes: reading, writing, and closing either end. The other ends are raw descriptors."""

import asyncio
import fcntl
import gc
import os
import socket
import warnings

import pytest

from tests.support.differential import assert_same, outcome_of
from tests.support.peers import Recorder, turns, until
from tests.support.pipe_ends import BIG, Writer, file, reading, writing

# -- reading ---------------------------------------------------------------------


def test_what_is_written_to_a_pipe_is_received_until_its_end(loop):
    async def main():
        async with reading() as (transport, protocol, feed):
            assert isinstance(transport, asyncio.ReadTransport)
            feed.write(b"hello")
            await until(lambda: protocol.data == b"hello")
            feed.close()
            assert await protocol.lost is None
            assert protocol.trace == ["made", "data", "eof", ("lost", "NoneType")]
            assert transport.is_closing()
            assert transport.get_extra_info("pipe").closed
            assert transport.get_extra_info("nothing", 7) == 7

    loop.run_until_complete(main())


def test_much_data_arrives_whole_and_in_order(loop):
    async def main():
        async with reading() as (_, protocol, feed):
            sending = loop.run_in_executor(
                None, lambda: [feed.write(BIG[at : at + 65536]) for at in range(0, len(BIG), 65536)]
            )
            await sending
            await until(lambda: len(protocol.data) == len(BIG))
            assert protocol.data == BIG

    loop.run_until_complete(main())


def test_a_paused_pipe_is_not_read(loop):
    async def main():
        async with reading() as (transport, protocol, feed):
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            feed.write(b"later")
            await turns(5)
            assert not protocol.data
            transport.resume_reading()
            transport.resume_reading()
            await until(lambda: protocol.data)
            assert protocol.data == b"later"

    loop.run_until_complete(main())


def test_pausing_from_connection_made_lasts(loop):
    class Pausing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        async with reading(Pausing) as (transport, protocol, feed):
            feed.write(b"x")
            await turns(5)
            assert not protocol.data
            transport.resume_reading()
            await until(lambda: protocol.data)

    loop.run_until_complete(main())


def test_a_protocol_can_be_replaced(loop):
    async def main():
        async with reading() as (transport, first, feed):
            second = Recorder()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            feed.write(b"x")
            feed.close()
            await second.lost
            assert (first.trace, second.trace) == (["made"], ["data", "eof", ("lost", "NoneType")])

    loop.run_until_complete(main())


def test_an_error_of_the_protocol_is_reported_and_reading_continues(loop):
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))

    class Failing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            raise ZeroDivisionError

    async def main():
        async with reading(Failing) as (_, protocol, feed):
            feed.write(b"1")
            await until(lambda: protocol.data == b"1")
            feed.write(b"2")
            await until(lambda: protocol.data == b"12")

    loop.run_until_complete(main())
    assert [type(error) for error in seen] == [ZeroDivisionError] * 2


def test_sockets_and_fifos_are_pipes_too(loop, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        left, right = socket.socketpair()
        with left, right:
            transport, protocol = await loop.connect_read_pipe(Recorder, left)
            right.send(b"by socket")
            right.close()
            await protocol.lost
            assert protocol.data == b"by socket"
        ours = file(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
        with open(path, "wb", 0) as feed:
            transport, protocol = await loop.connect_read_pipe(Recorder, ours)
            feed.write(b"by fifo")
            await until(lambda: protocol.data == b"by fifo")
        await protocol.lost
        assert transport.is_closing()

    loop.run_until_complete(main())


# -- what is no pipe -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_regular_files_and_directories_are_refused(loop, tmp_path, kind, method):
    path = tmp_path if kind == "directory" else tmp_path / "file"
    if kind == "file":
        path.write_bytes(b"x")
    text = {
        "connect_read_pipe": r"^Pipe transport is for pipes/sockets only\.$",
        "connect_write_pipe": "^Pipe transport is only for pipes, sockets and character devices$",
    }
    fd = os.open(path, os.O_RDONLY)
    pipe = Number(fd)
    try:
        with pytest.raises(ValueError, match=text[method]):
            loop.run_until_complete(getattr(loop, method)(asyncio.Protocol, pipe))
        assert fcntl.fcntl(fd, fcntl.F_GETFD) >= 0  # still the caller's
    finally:
        os.close(fd)


class Number:
    """A file object for a descriptor that open() would not take."""

    def __init__(self, fd: int):
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


def test_a_character_device_can_be_written_to(loop):
    async def main():
        transport, protocol = await loop.connect_write_pipe(Writer, file(os.open("/dev/null", os.O_WRONLY), "wb"))
        transport.write(BIG)
        transport.close()
        assert await protocol.lost is None

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore")  # of transports that stock asyncio leaves half made
def test_bad_descriptors_are_refused_by_the_system():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        ours, theirs = os.pipe()
        os.close(ours)
        os.close(theirs)
        for method in (loop.connect_read_pipe, loop.connect_write_pipe):
            trace.append(await outcome_of(method(asyncio.Protocol, Number(ours))))
            trace.append(await outcome_of(method(asyncio.Protocol, Number(-1))))
            trace.append(await outcome_of(method(asyncio.Protocol, object())))
            trace.append(await outcome_of(method(lambda: 1 / 0, Number(ours))))

    assert_same(scenario)


# -- life ------------------------------------------------------------------------


def test_reprs_tell_the_state(loop):
    async def main():
        async with reading() as (transport, protocol, _):
            fd = transport.get_extra_info("pipe").fileno()
            shown = [shape(transport)]
            transport.pause_reading()
            shown.append(shape(transport))
            transport.close()
            shown.append(shape(transport))
            await protocol.lost
            shown.append(shape(transport))
            assert shown == [f"fd={fd} polling", f"fd={fd} idle", f"closing fd={fd} idle", f"closed fd={fd} closed"]
        async with writing() as (transport, protocol, drain):
            fd = transport.get_extra_info("pipe").fileno()
            shown = [shape(transport)]
            transport.write(b"x" * 65536)
            transport.write(b"y" * 10)
            shown.append(shape(transport))
            transport.close()
            shown.append(shape(transport))
            drain.read()
            await protocol.lost
            shown.append(shape(transport))
            assert shown == [
                f"fd={fd} idle bufsize=0",
                f"fd={fd} polling bufsize=10",
                f"closing fd={fd} polling bufsize=10",
                f"closed fd={fd} closed",
            ]

    loop.run_until_complete(main())


def shape(transport) -> str:
    """The repr without the name of the class."""
    return repr(transport).partition(" ")[2].rstrip(">")


def test_a_cancelled_connect_closes_the_pipe(loop):
    async def main():
        ours, theirs = os.pipe()
        with open(theirs, "wb", 0) as feed:
            pipe = file(ours, "rb")
            connecting = loop.create_task(loop.connect_read_pipe(Recorder, pipe))
            await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await turns(3)
            assert pipe.closed
            with pytest.raises(BrokenPipeError):
                feed.write(b"x")

    loop.run_until_complete(main())


def test_streams_work_on_pipes(loop):
    async def main():
        ours, theirs = os.pipe()
        reader = asyncio.StreamReader()
        source, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file(ours, "rb"))
        sink, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file(theirs, "wb"))
        writer = asyncio.StreamWriter(sink, protocol, None, loop)
        writer.write(b"line\n" + BIG)
        assert await reader.readline() == b"line\n"
        assert await reader.readexactly(len(BIG)) == BIG
        await writer.drain()
        writer.close()
        assert await reader.read() == b""
        source.close()
        await turns(3)

    loop.run_until_complete(main())


def test_forgotten_transports_are_warned_about_and_closed(loop):
    async def main():
        ours, theirs = os.pipe()
        await loop.connect_read_pipe(asyncio.Protocol, file(ours, "rb"))
        await loop.connect_write_pipe(asyncio.BaseProtocol, file(theirs, "wb"))

    loop.run_until_complete(main())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loop.close()
        gc.collect()
    texts = sorted(str(warning.message) for warning in seen if "transport" in str(warning.message))
    assert ["ReadPipe" in texts[0], "WritePipe" in texts[1], len(texts)] == [True, True, 2]
    assert all(text.startswith("unclosed transport <") for text in texts)


def test_closing_after_the_loop_says_so(loop):
    async def main():
        ours, theirs = os.pipe()
        source, _ = await loop.connect_read_pipe(asyncio.Protocol, file(ours, "rb"))
        sink, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, file(theirs, "wb"))
        return source, sink

    transports = loop.run_until_complete(main())
    loop.close()
    for transport in transports:
        assert "open" in repr(transport)
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            transport.close()
        transport.get_extra_info("pipe").close()
        transport._pipe = None


def test_debug_mode_logs_what_happens(loop, log):
    loop.set_debug(True)

    async def main():
        async with reading() as (transport, protocol, feed):
            transport.pause_reading()
            transport.resume_reading()
            feed.close()
            await protocol.lost
        async with writing() as (_, protocol, drain):
            drain.close()
            await protocol.lost

    loop.run_until_complete(main())
    texts = [record.getMessage() for record in log.records]
    for part in ("Read pipe ", "pauses reading", "resumes reading", "was closed by peer", "Write pipe "):
        assert any(part in text for text in texts), part
