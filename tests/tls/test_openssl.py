"""TLS with OpenSSL's own programs at the other end: both versions, key updates, renegotiation, late authentication."""

import asyncio
import contextlib
import ssl

import pytest

from tests.support.certificates import client_context, directory, server_context
from tests.support.peers import Recorder, turns, until
from tests.support.programs import free_port, needs, running
from tests.support.tls_peers import NAME, Echo, client, serving

pytestmark = needs("openssl")


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def version(request) -> ssl.TLSVersion:
    return ssl.TLSVersion[request.param]


def flag(version: ssl.TLSVersion) -> str:
    return f"-{version.name.replace('TLSv', 'tls')}"


def s_client(address, *more):
    trusting = ("-CAfile", directory() / "authority.pem", "-verify_return_error")
    return running("openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", *trusting, *more)


@contextlib.asynccontextmanager
async def talking_to_s_server(*more, context=None):
    """The program, and our transport and protocol."""
    port = free_port()
    certificate = ("-cert", directory() / "server.pem", "-key", directory() / "server.key")
    with running("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-naccept", 1, *certificate, *more) as program:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connecting = loop.create_connection(
                    Recorder, "127.0.0.1", port, ssl=context or client_context(), **NAME
                )
                transport, protocol = await connecting
                break
            except ConnectionRefusedError:
                assert program.process.poll() is None, program.output
                await asyncio.sleep(0.02)
        try:
            yield program, transport, protocol
        finally:
            transport.abort()
            await turns(5)


# -- data --------------------------------------------------------------------------


def test_s_client_talks_to_the_server(loop, version):
    async def main():
        async with serving() as address:
            with s_client(address, flag(version), "-quiet") as program:
                program.say(b"question\n")
                await program.heard(b"question\n")

    loop.run_until_complete(main())


def test_the_client_talks_to_s_server(loop, version):
    async def main():
        context = client_context()
        context.maximum_version = version
        async with talking_to_s_server("-rev", "-quiet", context=context) as (_, transport, protocol):
            transport.write(b"olleh\n")
            await until(lambda: protocol.data == b"hello\n")
            transport.close()
            await asyncio.wait_for(protocol.lost, 5)

    loop.run_until_complete(main())


def test_much_data_goes_to_s_client_and_back(loop, version):
    data = b"".join(b"%07d\n" % number for number in range(100_000))

    async def main():
        async with serving() as address:
            with s_client(address, flag(version), "-quiet") as program:
                await asyncio.to_thread(program.say, data)
                await until(lambda: len(program.output) >= len(data), 20)
                assert program.output.endswith(data[-1000:])

    loop.run_until_complete(main())


# -- what happens in the middle of a connection -------------------------------------------


@pytest.mark.parametrize("letter", [b"K", b"k"])
def test_s_clients_key_updates_are_followed(loop, letter):
    """`K` asks for an update of our keys as well."""

    async def main():
        async with serving() as address:
            with s_client(address, "-tls1_3") as program:
                await program.heard(b"Verify return code: 0")
                for number in range(3):
                    program.say(letter + b"\n")
                    await program.heard(b"KEYUPDATE", number + 1)
                    program.say(b"after update %d\n" % number)
                    await program.heard(b"after update %d\n" % number)

    loop.run_until_complete(main())


@pytest.mark.parametrize("letter", [b"K", b"k"])
def test_s_servers_key_updates_are_followed(loop, letter):
    """One that asks for ours is answered with the next data."""

    async def main():
        async with talking_to_s_server("-tls1_3", "-msg") as (program, transport, protocol):
            transport.write(b"before\n")
            await program.heard(b"before\n")
            for number in range(3):
                program.say(letter + b"\n")
                await program.heard(b">>> TLS 1.3, Handshake [length 0005], KeyUpdate", number + 1)
                program.say(b"from the server %d\n" % number)
                await until(lambda number=number: b"from the server %d\n" % number in protocol.data)
                transport.write(b"to the server %d\n" % number)
                await program.heard(b"to the server %d\n" % number)
                if letter == b"K":
                    await program.heard(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate", number + 1)

    loop.run_until_complete(main())


def test_data_continues_after_a_renegotiation_by_the_server(loop):
    """What is written meanwhile is sent afterwards, in order."""

    async def main():
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with talking_to_s_server("-tls1_2", "-msg", context=context) as (program, transport, protocol):
            transport.write(b"before\n")
            await program.heard(b"before\n")
            program.say(b"r\n")
            await program.heard(b"HelloRequest")
            for number in range(20):
                transport.write(b"line %d\n" % number)
                await asyncio.sleep(0)
            await program.heard(b"line 19\n")
            program.say(b"from the server\n")
            await until(lambda: b"from the server\n" in protocol.data)

    loop.run_until_complete(main())


def test_a_renegotiation_of_the_clients_is_answered(loop):
    async def main():
        context = server_context()
        context.options |= 1 << 8  # SSL_OP_ALLOW_CLIENT_RENEGOTIATION
        async with serving(Echo, context) as address:
            with s_client(address, "-tls1_2") as program:
                await program.heard(b"Verify return code: 0")
                program.say(b"R\n")
                await program.heard(b"RENEGOTIATING")
                program.say(b"afterwards\n")
                await program.heard(b"afterwards\n")

    loop.run_until_complete(main())


def test_a_server_asks_for_a_certificate_after_the_handshake(loop):
    made = []

    class Server(Echo):
        def connection_made(self, transport):
            super().connection_made(transport)
            made.append(transport.get_extra_info("ssl_object"))

    async def main():
        context = server_context()
        context.post_handshake_auth = True
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(directory() / "authority.pem")
        mine = ("-cert", directory() / "client.pem", "-key", directory() / "client.key")
        async with serving(Server, context) as address:
            with s_client(address, "-tls1_3", "-enable_pha", *mine) as program:
                program.say(b"before\n")
                await program.heard(b"before\n")
                (tls_object,) = made
                assert tls_object.getpeercert() is None
                tls_object.verify_client_post_handshake()
                program.say(b"now\n")  # its echo carries the question
                await program.heard(b"now\n")
                await until(lambda: tls_object.getpeercert() is not None)
                assert tls_object.getpeercert(binary_form=True)
                program.say(b"afterwards\n")
                await program.heard(b"afterwards\n")

    loop.run_until_complete(main())


def test_a_client_shows_its_certificate_when_asked_after_the_handshake(loop):
    async def main():
        context = client_context()
        context.post_handshake_auth = True
        context.load_cert_chain(directory() / "client.pem", directory() / "client.key")
        trusting = ("-CAfile", directory() / "authority.pem", "-tls1_3", "-msg")
        async with talking_to_s_server(*trusting, context=context) as (program, transport, protocol):
            transport.write(b"before\n")
            await program.heard(b"before\n")
            program.say(b"c\n")
            await program.heard(b"CertificateRequest")
            await program.heard(b"CertificateVerify", 2)  # the server's and ours
            program.say(b"from the server\n")
            await until(lambda: b"from the server\n" in protocol.data)
            transport.write(b"afterwards\n")
            await program.heard(b"afterwards\n")

    loop.run_until_complete(main())


# -- ends --------------------------------------------------------------------------


def test_an_orderly_end_of_s_client_reaches_the_protocol(loop, version):
    made = []

    async def main():
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address:
            with s_client(address, flag(version)) as program:
                await program.heard(b"Verify return code: 0")
                program.say(b"Q\n")
                assert await program.ended() == 0
                await made[0].lost
        assert made[0].trace == ["made", "eof", ("lost", "NoneType")]

    loop.run_until_complete(main())


def test_a_killed_program_ends_the_connection_without_close_notify(loop):
    async def main():
        async with talking_to_s_server("-quiet") as (program, transport, protocol):
            transport.write(b"hello\n")
            await program.heard(b"hello\n")
            program.process.kill()
            await asyncio.wait_for(protocol.lost, 5)
            assert protocol.trace[0] == "made"
            assert protocol.trace[-1][0] == "lost"

    loop.run_until_complete(main())


def test_programs_that_disagree_fail_the_handshake_and_leave_nothing(loop):
    """No common version, and a server without a trusted certificate."""
    reported = []

    async def main():
        loop.set_exception_handler(lambda _, context: reported.append(context))
        context = server_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        made = []
        async with serving(lambda: made.append(Recorder()) or made[-1], context) as address:
            with s_client(address, "-tls1_2") as program:
                assert await program.ended() == 1
            unknown = ("-connect", f"{address[0]}:{address[1]}", "-verify_return_error")
            with running("openssl", "s_client", *unknown) as program:
                assert await program.ended() == 1
            with pytest.raises(ssl.SSLCertVerificationError):
                async with client(address, context=ssl.create_default_context()):
                    pass
            assert [protocol.trace for protocol in made if "data" in protocol.trace] == []

    loop.run_until_complete(main())
    assert reported == []
