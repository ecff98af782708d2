"""Write pipes, on both loops."""

import asyncio
import os
import pty
import tty

import pytest

from tests.support.peers import Recorder, until
from tests.support.pipe_ends import BIG, Writer, drained, file, writing

# -- writing ---------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"x", bytearray(b"yy"), memoryview(b"zzz"), memoryview(b"a-b-c")[:3]])
def test_bytes_bytearray_and_memoryview_are_written(loop, data):
    async def main():
        async with writing() as (transport, _, drain):
            assert isinstance(transport, asyncio.WriteTransport)
            assert isinstance(transport, asyncio.Transport)  # as asyncio's, though there is nothing to read
            for method in (transport.is_reading, transport.pause_reading, transport.resume_reading):
                with pytest.raises(NotImplementedError):
                    method()
            transport.write(data)
            transport.write(b"")
            assert drain.read(100) == bytes(data)

    loop.run_until_complete(main())


def test_other_data_is_refused(loop):
    async def main():
        async with writing() as (transport, _, _):
            with pytest.raises(AssertionError, match="'text'"):
                transport.write("text")

    loop.run_until_complete(main())


def test_a_full_pipe_pauses_the_protocol_until_it_is_drained(loop):
    async def main():
        async with writing() as (transport, protocol, drain):
            transport.write(BIG)
            assert protocol.trace == ["made", "pause"]
            assert 0 < transport.get_write_buffer_size() < len(BIG)
            assert await drained(drain, len(BIG)) == BIG
            await until(lambda: protocol.trace[-1] == "resume")
            assert protocol.trace == ["made", "pause", "resume"]
            assert transport.get_write_buffer_size() == 0

    loop.run_until_complete(main())


def test_water_marks_are_checked_and_kept(loop):
    async def main():
        async with writing() as (transport, protocol, drain):
            assert transport.get_write_buffer_limits() == (16384, 65536)
            with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
                transport.set_write_buffer_limits(1, 2)
            transport.set_write_buffer_limits(high=1 << 22)
            transport.write(BIG)
            assert protocol.trace == ["made"]
            transport.set_write_buffer_limits(high=10)
            assert protocol.trace == ["made", "pause"]
            await drained(drain, len(BIG))

    loop.run_until_complete(main())


def test_writelines_writes_all_in_order(loop):
    async def main():
        async with writing() as (transport, _, drain):
            transport.writelines([b"a", b"b", bytearray(b"c")])
            transport.writelines([])
            assert drain.read(10) == b"abc"

    loop.run_until_complete(main())


@pytest.mark.parametrize("close", ["close", "write_eof"])
def test_closing_writes_what_is_buffered_first(loop, close):
    async def main():
        async with writing() as (transport, protocol, drain):
            assert transport.can_write_eof()
            transport.write(BIG)
            getattr(transport, close)()
            assert transport.is_closing()
            transport.write(b"too late")
            assert await drained(drain, len(BIG)) == BIG
            assert await protocol.lost is None
            assert drain.read(10) == b""
            transport.close()

    loop.run_until_complete(main())


def test_abort_drops_what_is_buffered(loop):
    async def main():
        async with writing() as (transport, protocol, drain):
            transport.write(BIG)
            transport.abort()
            assert await protocol.lost is None
            assert 0 < len(drain.read(1 << 20)) < len(BIG)

    loop.run_until_complete(main())


def test_a_reader_that_goes_away_wakes_the_writer(loop):
    async def main():
        async with writing() as (_, protocol, drain):
            drain.close()
            assert await protocol.lost is None
        async with writing() as (transport, protocol, drain):
            transport.write(BIG)
            drain.close()
            assert type(await protocol.lost) is BrokenPipeError
            assert protocol.trace == ["made", "pause", ("lost", "BrokenPipeError")]

    loop.run_until_complete(main())


def test_a_write_to_a_broken_pipe_ends_the_connection_and_later_ones_warn(loop, log):
    async def main():
        async with writing() as (transport, protocol, drain):
            drain.close()
            transport.write(b"x")
            for _ in range(6):
                transport.write(b"dropped")
            assert type(await protocol.lost) is BrokenPipeError

    loop.run_until_complete(main())
    warnings = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
    assert set(warnings) == {"pipe closed by peer or os.write(pipe, data) raised exception."}


def test_a_terminal_that_hangs_up_ends_both_directions(loop):
    """No report of EIO to the exception handler: that is how a terminal says goodbye."""
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(context))

    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        reader, receiver = await loop.connect_read_pipe(Recorder, file(master, "rb"))
        writer, sender = await loop.connect_write_pipe(Writer, file(os.dup(master), "wb"))
        os.write(slave, b"from the program")
        await until(lambda: receiver.data == b"from the program")
        writer.write(b"from us")
        assert os.read(slave, 100) == b"from us"
        os.close(slave)
        assert isinstance(await receiver.lost, OSError)
        writer.close()
        await sender.lost
        assert reader.is_closing()

    loop.run_until_complete(main())
    assert not seen
