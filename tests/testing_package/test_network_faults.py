"""Hosts, links and what goes wrong with them; and invariants of a simulated program."""

import asyncio

import pytest

from ferrio import testing
from ferrio.testing import sim


async def serve_echo(host="0.0.0.0", port=7000):
    async def echo(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(echo, host, port) as server:
        await server.serve_forever()


async def ask(reader, writer, data):
    writer.write(data)
    return await reader.readexactly(len(data))


async def connect(host, port=7000):
    while True:
        try:
            return await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)


def test_hosts_have_names_and_addresses_of_their_own():
    async def main():
        server, client = sim.net.host("server"), sim.net.host("client")
        server.run(serve_echo)
        with client:
            reader, writer = await connect("server")
        assert writer.get_extra_info("peername") == (server.address, 7000)
        assert writer.get_extra_info("sockname")[0] == client.address
        assert await ask(reader, writer, b"hello") == b"hello"
        with client, pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("localhost", 7000)
        writer.close()

    testing.run(main)


def test_latency_is_virtual_time():
    async def main():
        sim.net.host("server").run(serve_echo)
        sim.net.link("server", "local", latency=0.25)
        loop = asyncio.get_running_loop()
        reader, writer = await connect("server")
        assert loop.time() == 0.5
        await ask(reader, writer, b"hello")
        assert loop.time() == 1.0
        writer.close()

    testing.run(main)


def test_a_partition_holds_what_is_sent_until_it_is_healed():
    async def main():
        sim.net.host("server").run(serve_echo)
        reader, writer = await connect("server")
        sim.net.partition("server", "local")
        asking = asyncio.create_task(ask(reader, writer, b"hello"))
        done, _ = await asyncio.wait([asking], timeout=10)
        assert not done
        sim.net.heal("server", "local")
        assert await asking == b"hello"
        writer.close()

    report = testing.explore(main, schedules=100)
    assert report.failure is None, str(report)


def test_connecting_across_a_partition_times_out_in_the_end():
    async def main():
        sim.net.host("server").run(serve_echo)
        sim.net.partition("server", "local")
        with pytest.raises(TimeoutError):
            await asyncio.open_connection("server", 7000)
        assert asyncio.get_running_loop().time() >= 100

    testing.run(main)


def test_a_crash_is_silent_and_a_restarted_host_resets_old_connections():
    async def main():
        server = sim.net.host("server")
        server.run(serve_echo)
        reader, writer = await connect("server")
        assert await ask(reader, writer, b"before") == b"before"
        server.crash()
        asking = asyncio.create_task(ask(reader, writer, b"lost"))
        done, _ = await asyncio.wait([asking], timeout=5)
        assert not done
        server.restart()
        with pytest.raises(ConnectionResetError):
            await asking
        writer.close()
        reader, writer = await connect("server")
        assert await ask(reader, writer, b"after") == b"after"
        writer.close()

    testing.run(main)
    report = testing.explore(main, schedules=100)
    assert report.failure is None, str(report)


def test_a_link_resets_its_connections():
    async def main():
        sim.net.host("server").run(serve_echo)
        reader, writer = await connect("server")
        assert await ask(reader, writer, b"hello") == b"hello"
        sim.net.reset("server", "local")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    testing.run(main)


def test_a_lossy_link_loses_datagrams_only_where_an_exploration_chooses():
    counts = set()

    class Collect(asyncio.DatagramProtocol):
        def __init__(self):
            self.received = []

        def datagram_received(self, data, addr):
            self.received.append(data)

    async def main():
        loop = asyncio.get_running_loop()
        with sim.net.host("server") as server:
            receiving, collect = await loop.create_datagram_endpoint(Collect, local_addr=("0.0.0.0", 9000))
        sim.net.link("server", "local", lossy=True)
        sending, _ = await loop.create_datagram_endpoint(Collect, remote_addr=(server.address, 9000))
        sending.sendto(b"one")
        sending.sendto(b"two")
        await asyncio.sleep(1)
        counts.add(len(collect.received))
        sending.close()
        receiving.close()

    testing.run(main)
    assert counts == {2}
    testing.explore(main, schedules=100)
    assert counts == {0, 1, 2}


def test_an_answer_may_come_after_the_timeout():
    """The fault that clients have which give a connection back although an answer is still to come."""

    async def main():
        sim.net.host("server").run(serve_echo)
        reader, writer = await connect("server")
        try:
            async with asyncio.timeout(0.01):
                await ask(reader, writer, b"first")
        except TimeoutError:
            pass
        assert await ask(reader, writer, b"other") == b"other"
        writer.close()

    testing.run(main)
    report = testing.explore(main, schedules=100)
    assert isinstance(report.failure.exception, AssertionError)
    assert report.failure.classification == "arrival"
    assert "keeps waiting" in report.failure.story


def test_what_waits_for_ever_is_a_deadlock_not_real_io():
    async def main():
        sim.net.host("server").run(serve_echo)
        reader, _ = await connect("server")
        await reader.read()

    with pytest.raises(testing.Deadlock, match=r"in main|\(main\)|main"):
        testing.run(main)


def test_links_have_known_settings():
    async def main():
        with pytest.raises(TypeError, match="bandwidth"):
            sim.net.link("one", "other", bandwidth=5)

    testing.run(main)


def test_an_invariant_that_breaks_is_found_where_it_breaks():
    async def main():
        held = []
        sim.always(lambda: len(held) <= 1, "at most one holds it")

        async def hold(name):
            await asyncio.to_thread(int)
            held.append(name)
            await asyncio.to_thread(int)
            held.remove(name)

        first = asyncio.create_task(hold("first"))
        await first
        second = asyncio.create_task(hold("second"))
        third = asyncio.create_task(hold("third"))
        await asyncio.gather(second, third)

    report = testing.explore(main, schedules=100)
    assert isinstance(report.failure.exception, testing.InvariantError)
    assert "at most one holds it" in str(report.failure.exception)


def test_what_is_to_come_is_awaited_for_a_time():
    async def main(delay):
        done = []
        sim.eventually(lambda: done, within=1.0, text="it is done")
        await asyncio.sleep(delay)
        done.append(1)
        await asyncio.sleep(5)

    async def never():
        sim.eventually(lambda: False, within=1.0)

    testing.run(lambda: main(0.5))
    with pytest.raises(testing.InvariantError, match="has not come within 1 s: it is done"):
        testing.run(lambda: main(2))
    with pytest.raises(testing.InvariantError, match="when the program ended"):
        testing.run(never)
