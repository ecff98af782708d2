"""How streams end: an unclosed stream is reported, and nothing leaks."""

import asyncio
import gc
import warnings

import pytest

import ferrio
from tests.support.descriptors import descriptors
from tests.support.differential import assert_same_functions, outcome_of


async def answer(reader, writer):
    writer.write(await reader.readline())
    writer.close()


def test_a_writer_left_open_warns_once():
    async def scenario(module, trace):
        server = await module.start_server(answer, "127.0.0.1", 0)
        reader, writer = await module.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x\n")
        trace.append(await reader.read())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del writer
            gc.collect()
        trace.append([(one.category.__name__, str(one.message)[:23]) for one in caught])
        server.close()
        await asyncio.sleep(0.01)

    assert_same_functions(scenario)


def test_waiting_for_the_end_twice_and_before_it():
    async def scenario(module, trace):
        server = await module.start_server(answer, "127.0.0.1", 0)
        reader, writer = await module.open_connection(*server.sockets[0].getsockname())
        waiting = asyncio.create_task(writer.wait_closed())
        await asyncio.sleep(0)
        trace.append(waiting.done())
        writer.write(b"x\n")
        trace.append(await reader.read())
        writer.close()
        writer.close()
        trace.append((await outcome_of(waiting), await outcome_of(writer.wait_closed())))
        server.close()

    assert_same_functions(scenario)


@pytest.mark.parametrize("whole", [False, True])
def test_connections_leave_no_objects_and_descriptors(whole):
    async def connections(count):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        for _ in range(count):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x\n")
            assert await reader.read() == b"x\n"
            writer.close()
            await writer.wait_closed()
        server.close()
        await asyncio.sleep(0.01)
        gc.collect()
        return len(gc.get_objects()), len(descriptors())

    async def main():
        await connections(100)
        before = await connections(100)
        after = await connections(700)
        assert after[0] - before[0] < 100
        assert after[1] <= before[1]

    if whole:
        ferrio.install()
    try:
        ferrio.run(main())
    finally:
        ferrio.uninstall()


def test_ten_thousand_readers_and_their_protocols_go_without_the_collector():
    async def main():
        def one():
            reader = ferrio.StreamReader(loop=loop)
            protocol = ferrio.StreamReaderProtocol(reader, loop=loop)
            protocol.data_received(b"line\n")
            reading = reader.readline()
            with pytest.raises(StopIteration):
                reading.send(None)
            protocol.eof_received()

        loop = asyncio.get_running_loop()
        for _ in range(100):
            one()
        gc.collect()
        gc.disable()
        try:
            before = len(gc.get_objects())
            for _ in range(10_000):
                one()
            assert len(gc.get_objects()) - before < 100
        finally:
            gc.enable()

    ferrio.run(main())
