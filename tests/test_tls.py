"""TLS connections and servers: data, handshakes, contexts. Peers are blocking and raw sockets and `openssl`."""

import asyncio
import contextlib
import random
import socket
import ssl
import struct
import subprocess

import pytest

import ferrio
from tests.certificates import client_context, directory, server_context
from tests.differential import assert_same, outcome, outcome_of, trace_on
from tests.peers import BufferedRecorder, Recorder, listening, reset, turns, until
from tests.tls_peers import NAME, ask, blocking_server, client, serving


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


def test_many_small_messages_keep_their_order(loop):
    expected = b"".join(b"%d," % number for number in range(2000))

    async def main():
        async with serving() as address, client(address) as (transport, protocol):
            for number in range(2000):
                transport.write(b"%d," % number)
            await until(lambda: len(protocol.data) == len(expected))
            assert protocol.data == expected

    loop.run_until_complete(main())


# -- the handshake -----------------------------------------------------------------


def test_connection_made_follows_the_handshake():
    async def scenario(trace):
        class Client(Recorder):
            def connection_made(self, transport):
                trace.append(transport.get_extra_info("cipher") is not None)
                trace.append(transport.get_extra_info("ssl_object").version())
                super().connection_made(transport)

        async with serving() as address, client(address, Client) as (transport, protocol):
            trace.append(protocol.trace)
            trace.append(isinstance(transport, asyncio.Transport))
            trace.append("ssl" in transport.__class__.__name__.lower())

    assert_same(scenario)


def test_extra_info_is_asyncios():
    async def scenario(trace):
        context = client_context()
        async with serving() as address, client(address, context=context) as (transport, protocol):
            info = transport.get_extra_info
            trace.append(info("sslcontext") is context)
            trace.append((info("cipher"), info("compression"), info("peercert")["subject"]))
            trace.append(type(info("ssl_object")).__name__)
            trace.append(info("peername") == address)
            trace.append((type(info("socket")).__name__, info("nothing"), info("nothing", 5)))
            transport.close()
            trace.append(await protocol.lost)
            trace.append((info("cipher"), info("peername", "gone")))

    assert_same(scenario)


def test_a_certificate_that_nobody_vouches_for_is_refused():
    async def scenario(trace):
        made = []
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address:
            connecting = asyncio.get_running_loop().create_connection(Recorder, *address, ssl=True, **NAME)
            trace.append(await outcome_of(connecting))
            await until(lambda: made)
            await asyncio.sleep(0.05)
            trace.append([protocol.trace for protocol in made])

    assert_same(scenario)


def test_a_certificate_for_another_name_is_refused():
    async def scenario(trace):
        async with serving() as address:
            loop = asyncio.get_running_loop()
            connecting = loop.create_connection(
                Recorder, *address, ssl=client_context(), server_hostname="elsewhere.example"
            )
            trace.append(await outcome_of(connecting))

    assert_same(scenario)


def test_the_name_defaults_to_the_host():
    async def scenario(trace):
        async with serving() as address:
            loop = asyncio.get_running_loop()
            connecting = loop.create_connection(Recorder, *address, ssl=client_context())
            trace.append(await outcome_of(connecting))

    assert_same(scenario)


@pytest.mark.parametrize("debug", [False, True])
def test_plain_text_on_a_tls_port_is_cut_and_the_protocol_told_nothing(debug):
    async def scenario(trace):
        made = []
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                trace.append(await reader.read())
            writer.close()
            trace.append([protocol.trace for protocol in made])

    assert assert_same_but_logs(scenario, debug=debug)


def assert_same_but_logs(scenario, *, debug: bool) -> list:
    """Debug mode logs the reprs of asyncio's own classes."""
    traces = [
        [entry for entry in trace_on(kind, scenario, debug=debug) if not (type(entry) is tuple and entry[0] == "log")]
        for kind in ("stock", "ferrio")
    ]
    assert traces[0] == traces[1]
    return traces[0]


def test_a_server_that_speaks_plain_text_is_refused():
    async def scenario(trace):
        async def answer(_, writer):
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            connecting = asyncio.get_running_loop().create_connection(Recorder, *address, ssl=client_context(), **NAME)
            kind, error, text = await outcome_of(connecting)
            trace.append((kind, error, text.split("(_ssl")[0]))

    assert_same(scenario)


@pytest.mark.parametrize("end", [reset, socket.socket.close])
def test_an_end_in_mid_handshake_fails_it(end):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with listening() as listener:
            connecting = loop.create_task(
                loop.create_connection(Recorder, *listener.getsockname(), ssl=client_context(), **NAME)
            )
            listener.setblocking(False)
            peer, _ = await loop.sock_accept(listener)
            with peer:
                await loop.sock_recv(peer, 100)
                end(peer)
                trace.append(await outcome_of(connecting))

    assert_same(scenario)


def test_a_client_that_resets_in_mid_handshake_leaves_nothing(loop):
    async def main():
        made = []
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address:
            for part in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"):
                peer = socket.create_connection(address)
                peer.sendall(part)
                await until(lambda: made)
                await turns(5)
                reset(peer)
                await asyncio.sleep(0.02)
                assert made.pop().trace == []

    loop.run_until_complete(main())


def test_a_handshake_that_takes_too_long_is_aborted():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with listening() as listener:
            connecting = loop.create_connection(
                Recorder, *listener.getsockname(), ssl=client_context(), ssl_handshake_timeout=0.1, **NAME
            )
            trace.append(await outcome_of(connecting))

    assert_same(scenario)


def test_a_server_aborts_a_client_that_says_nothing(loop):
    async def main():
        async with serving(Recorder, ssl_handshake_timeout=0.05) as address:
            reader, writer = await asyncio.open_connection(*address)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    loop.run_until_complete(main())


def test_a_cancelled_handshake_closes_the_connection(loop):
    async def main():
        with listening() as listener:
            connecting = loop.create_connection(Recorder, *listener.getsockname(), ssl=client_context(), **NAME)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connecting, 0.05)
            await turns(3)
            listener.setblocking(False)
            peer, _ = await loop.sock_accept(listener)
            with peer:
                assert await loop.sock_recv(peer, 1 << 16)
                with contextlib.suppress(ConnectionResetError):
                    assert await loop.sock_recv(peer, 1 << 16) == b""

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_wrong_arguments_are_refused_as_asyncio_does():
    """Stock leaves the socket of a refused connection to the collector."""

    async def scenario(trace):
        loop = asyncio.get_running_loop()
        context = client_context()
        with listening() as listener:
            address = listener.getsockname()
            for keywords in (
                {"ssl_handshake_timeout": 1},
                {"ssl_shutdown_timeout": 1},
                {"server_hostname": "localhost"},
                {"ssl": context, "ssl_handshake_timeout": 0, **NAME},
                {"ssl": context, "ssl_handshake_timeout": -1.5, **NAME},
                {"ssl": context, "ssl_shutdown_timeout": 0, **NAME},
                {"ssl": "no context", **NAME},
            ):
                trace.append(await outcome_of(loop.create_connection(Recorder, *address, **keywords)))
            for keywords in ({"ssl_handshake_timeout": 1}, {"ssl_shutdown_timeout": 1}):
                trace.append(await outcome_of(loop.create_server(Recorder, "127.0.0.1", 0, **keywords)))
            trace.append(await outcome_of(loop.create_server(Recorder, "127.0.0.1", 0, ssl=True)))

    assert_same(scenario)


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


# -- peers that are not Python's ---------------------------------------------------------


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_openssl_talks_to_the_server(loop, flag):
    def talk(address):
        arguments = ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", flag, "-quiet"]
        arguments += ["-CAfile", str(directory() / "authority.pem"), "-verify_return_error"]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with process:
            process.stdin.write(b"question\n")
            process.stdin.flush()
            line = process.stdout.readline()
            process.terminate()
        return line

    async def main():
        async with serving() as address:
            assert await asyncio.wait_for(asyncio.to_thread(talk, address), 10) == b"question\n"

    loop.run_until_complete(main())


def test_the_client_talks_to_openssl(loop, version):
    async def main():
        with listening() as listener:
            port = listener.getsockname()[1]
        arguments = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-rev", "-naccept", "1", "-quiet"]
        arguments += ["-cert", str(directory() / "server.pem"), "-key", str(directory() / "server.key")]
        context = client_context()
        context.maximum_version = version
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with process:
            try:
                transport, protocol = await eventually_connected(("127.0.0.1", port), context)
                transport.write(b"olleh\n")
                await until(lambda: protocol.data == b"hello\n")
                transport.close()
                await asyncio.wait_for(protocol.lost, 5)
            finally:
                process.terminate()

    loop.run_until_complete(main())


async def eventually_connected(address, context):
    while True:
        try:
            return await asyncio.get_running_loop().create_connection(Recorder, *address, ssl=context, **NAME)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
