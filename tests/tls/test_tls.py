"""TLS connections and servers: data, and what a context provides. The peers are blocking and raw sockets."""

import asyncio
import contextlib
import random
import ssl
import struct

import pytest

import ferrio
from tests.support.certificates import client_context, directory, server_context
from tests.support.differential import assert_same, outcome
from tests.support.peers import BufferedRecorder, Recorder, until
from tests.support.tls_peers import NAME, ask, blocking_server, client, serving


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def version(request) -> ssl.TLSVersion:
    return ssl.TLSVersion[request.param]


# -- data ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 1 << 14, (1 << 14) + 1, 100_000, 3_000_000])
def test_a_server_sends_back_what_came(loop, version, size):
    data = random.Random(size).randbytes(size)

    async def main():
        context = client_context()
        context.maximum_version = version
        async with serving() as address:
            assert await ask(address, data, context) == data

    loop.run_until_complete(main())


@pytest.mark.parametrize("size", [1, 1000, 1 << 14, (1 << 14) + 1, 100_000, 3_000_000])
def test_a_client_sends_and_receives(loop, version, size):
    data = random.Random(size).randbytes(size)

    def echo(peer):
        left = size
        while left:
            chunk = peer.recv(1 << 16)
            left -= len(chunk)
            peer.sendall(chunk)
        peer.unwrap()

    async def main():
        context = server_context()
        context.maximum_version = version
        async with blocking_server(echo, context) as address, client(address) as (transport, protocol):
            for start in range(0, size, 1 << 20):
                transport.write(data[start : start + (1 << 20)])
            assert await protocol.lost is None
            assert protocol.data == data
            assert protocol.trace[-2:] == ["eof", ("lost", "NoneType")]

    loop.run_until_complete(main())


@pytest.mark.parametrize("size", [1, 10, 1000, 1 << 14, 100_000])
def test_a_buffered_protocol_lends_memory_of_any_size(loop, size):
    data = random.Random(size).randbytes(150_000)

    def send(peer):
        peer.sendall(data)
        peer.unwrap()

    # asyncio reads a lent bytearray's copy; a view is what it means.
    class Lender(BufferedRecorder):
        def get_buffer(self, sizehint):
            return memoryview(self.buffer)

    count = len(data) if size > 1 else 3000
    data = data[:count]

    async def main():
        async with blocking_server(send) as address:
            async with client(address, lambda: Lender(size)) as (_, protocol):
                assert await protocol.lost is None
                assert protocol.data == data

    loop.run_until_complete(main())


def test_a_lent_bytearray_is_filled():
    """asyncio writes what follows the first record into a copy of it."""
    loop = ferrio.new_event_loop()
    data = random.Random(1).randbytes(150_000)

    def send(peer):
        peer.sendall(data)
        peer.unwrap()

    async def main():
        async with blocking_server(send) as address:
            async with client(address, lambda: BufferedRecorder(100_000)) as (_, protocol):
                assert await protocol.lost is None
                assert protocol.data == data

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_all_kinds_of_bytes_can_be_written(loop):
    async def main():
        async with serving() as address, client(address) as (transport, protocol):
            transport.write(b"bytes,")
            array = bytearray(b"array,")
            transport.write(array)
            array[:] = b"######"
            transport.write(memoryview(b"--view,--")[2:7])
            transport.write(memoryview(struct.pack("2H", 0x2C62, 0x2C63)).cast("H"))
            transport.write(b"")
            transport.writelines([b"lines,", bytearray(b"of,"), memoryview(b"bytes"), b""])
            expected = b"bytes,array,view,b,c,lines,of,bytes"
            await until(lambda: len(protocol.data) == len(expected))
            assert protocol.data == expected

    loop.run_until_complete(main())


def test_the_wrong_kind_of_data_is_refused():
    async def scenario(trace):
        async with serving() as address, client(address) as (transport, _):
            trace.extend(outcome(transport.write, wrong) for wrong in ("text", 5, None, [b"list"]))
            trace.append(outcome(transport.write_eof))
            trace.append(transport.can_write_eof())

    assert_same(scenario)


def test_the_name_of_a_transports_type_tells_of_tls():
    async def scenario(trace):
        async with serving() as address, client(address) as (transport, _):
            trace.append("SSL" in type(transport).__name__)  # aiosmtplib's tests look at it, as there is nothing public

    assert_same(scenario)


def test_bytes_come_through_whatever_the_network_makes_of_them(loop, version):
    """A relay passes the encrypted bytes on in pieces of any size."""
    rng = random.Random(7)
    data = rng.randbytes(60_000)

    async def relay(reader, writer):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(rng.choice([1, 2, 5, 6, 100, 5000, 50_000])):
                writer.write(chunk)
                if rng.random() < 0.05:
                    await writer.drain()
        writer.close()

    async def main():
        context = client_context()
        context.maximum_version = version
        async with serving() as address:

            async def between(reader, writer):
                far_reader, far_writer = await asyncio.open_connection(*address)
                await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))

            async with await asyncio.start_server(between, "127.0.0.1", 0) as server:
                async with client(server.sockets[0].getsockname(), context=context) as (transport, protocol):
                    transport.write(data)
                    await until(lambda: len(protocol.data) == len(data))
                    assert protocol.data == data
                    transport.close()
                    await protocol.lost

    loop.run_until_complete(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("size", [40_000, 100_000, 1_000_000])
def test_bytes_come_through_that_come_all_together(loop, version, size):
    """A relay that sleeps: what carries no data, as session tickets, comes with many records behind it."""
    data = random.Random(size).randbytes(size)

    async def relay(reader, writer):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(200_000):
                writer.write(chunk)
                await asyncio.sleep(0.02)
        writer.close()

    async def main():
        context = client_context()
        context.maximum_version = version
        relayed = asyncio.Event()
        async with serving() as address:

            async def between(reader, writer):
                far_reader, far_writer = await asyncio.open_connection(*address)
                await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))
                relayed.set()

            async with await asyncio.start_server(between, "127.0.0.1", 0, limit=1 << 20) as server:
                async with client(server.sockets[0].getsockname(), context=context) as (transport, protocol):
                    transport.write(data)
                    await until(lambda: len(protocol.data) == len(data))
                    assert protocol.data == data
                    transport.close()
                    await protocol.lost
                    await relayed.wait()

    loop.run_until_complete(asyncio.wait_for(main(), 20))


def test_many_small_messages_keep_their_order(loop):
    expected = b"".join(b"%d," % number for number in range(2000))

    async def main():
        async with serving() as address, client(address) as (transport, protocol):
            for number in range(2000):
                transport.write(b"%d," % number)
            await until(lambda: len(protocol.data) == len(expected))
            assert protocol.data == expected

    loop.run_until_complete(main())


@pytest.mark.parametrize("part", [{}, {"offset": 1000, "count": 300_000}])
def test_a_file_is_read_and_encrypted(loop, part, tmp_path):
    """The system's sendfile would send it in the clear."""
    data = random.Random(3).randbytes(1_000_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = data[part.get("offset", 0) :][: part.get("count")]
    made = []

    async def main():
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address, client(address) as (transport, _):
            with path.open("rb") as file:
                with pytest.raises(RuntimeError, match="fallback is disabled"):
                    await loop.sendfile(transport, file, **part, fallback=False)
                assert await loop.sendfile(transport, file, **part) == len(expected)
                assert file.tell() == part.get("offset", 0) + len(expected)
            await until(lambda: len(made[0].data) == len(expected))
            assert made[0].data == expected

    loop.run_until_complete(main())


# -- what a context carries ----------------------------------------------------------


def test_the_context_decides(loop, version, tmp_path):
    """ALPN, the callback for the server's name, the client's certificate, versions and the key log."""
    seen = []

    async def main(key_log):
        served = server_context()
        served.maximum_version = version
        served.set_alpn_protocols(["h2", "http/1.1"])
        served.verify_mode = ssl.CERT_REQUIRED
        served.load_verify_locations(directory() / "authority.pem")
        served.sni_callback = lambda tls_object, name, context: seen.append((type(tls_object), name, context is served))
        asking = client_context()
        asking.set_alpn_protocols(["http/1.1"])
        asking.load_cert_chain(directory() / "client.pem", directory() / "client.key")
        asking.keylog_filename = str(key_log)

        class Server(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                seen.append(transport.get_extra_info("peercert")["subject"])

        async with serving(Server, served) as address, client(address, context=asking) as (transport, protocol):
            tls_object = transport.get_extra_info("ssl_object")
            assert tls_object.selected_alpn_protocol() == "http/1.1"
            assert tls_object.version() == version.name.replace("_", ".")
            transport.write(b"x")
            await until(lambda: len(seen) == 2)
            transport.close()
            await protocol.lost
            assert "CLIENT" in key_log.read_text()

    loop.run_until_complete(main(tmp_path / "keys"))
    assert seen == [(ssl.SSLObject, "localhost", True), ((("commonName", "client"),),)]


def test_a_missing_client_certificate_ends_the_connection(loop):
    async def main():
        served = server_context()
        served.maximum_version = ssl.TLSVersion.TLSv1_2
        served.verify_mode = ssl.CERT_REQUIRED
        served.load_verify_locations(directory() / "authority.pem")
        async with serving(Recorder, served) as address:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await loop.create_connection(Recorder, *address, ssl=client_context(), **NAME)

    loop.run_until_complete(main())


def test_a_class_of_the_users_for_tls_objects_is_used(loop):
    read = []

    class Object(ssl.SSLObject):
        def read(self, length=1024, buffer=None):
            data = super().read(length, buffer)
            read.append(data)
            return data

    async def main():
        context = client_context()
        context.sslobject_class = Object
        async with serving() as address, client(address, context=context) as (transport, protocol):
            transport.write(b"hello")
            await until(lambda: protocol.data == b"hello")
            assert type(transport.get_extra_info("ssl_object")) is Object

    loop.run_until_complete(main())
    assert b"hello" in read
