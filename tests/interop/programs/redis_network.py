"""redis-py over TCP and over TLS, with its parser in Python and with hiredis, and a server that is killed meanwhile.

Usage: redis_network.py PORT TLS_PORT
"""

import asyncio
import os
import signal
import sys
import tempfile

from redis._parsers import _AsyncHiredisParser, _AsyncRESP2Parser
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from tests import certificates
from tests.interop import clean

PARSERS = {"hiredis": _AsyncHiredisParser, "python": _AsyncRESP2Parser}
TLS = {"connection_class": SSLConnection, "ssl_ca_certs": str(certificates.directory() / "authority.pem")}


async def used(kind: str, port: int, **keywords: object) -> None:
    for name, parser in PARSERS.items():
        pool = ConnectionPool(host="localhost", port=port, parser_class=parser, **keywords)
        client = Redis(connection_pool=pool)
        await client.flushall()
        assert await client.set("key", b"v" * 300_000)
        assert await client.get("key") == b"v" * 300_000
        async with client.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.set(f"p{number}", number).get(f"p{number}")
            answers = await pipeline.execute()
        assert [int(answer) for answer in answers[1::2]] == list(range(1000))
        assert sorted(await asyncio.gather(*(client.incr("n") for _ in range(20)))) == list(range(1, 21))
        try:
            async with asyncio.timeout(0.02):
                await client.blpop(["never"], timeout=2)
        except TimeoutError:
            assert await client.echo("later") == b"later"
        await client.aclose()
        await pool.disconnect()
        print(kind, name)


async def untrusted(port: int) -> None:
    client = Redis(connection_pool=ConnectionPool(host="localhost", port=port, connection_class=SSLConnection))
    try:
        await client.ping()
    except RedisConnectionError as error:
        print("untrusted", "CERTIFICATE_VERIFY_FAILED" in str(error))
    await client.aclose()
    await client.connection_pool.disconnect()


async def killed() -> None:
    """A server of its own dies while one command waits and an answer of many megabytes is on its way."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/redis"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory]
        null = asyncio.subprocess.DEVNULL
        server = await asyncio.create_subprocess_exec(*command, stdout=null, stderr=null)
        while not os.path.exists(path):
            await asyncio.sleep(0.01)
        client = Redis(unix_socket_path=path)
        await client.set("large", bytes(20_000_000))
        commands = [client.blpop(["never"], timeout=20), *(client.get("large") for _ in range(5))]
        waiting = [asyncio.ensure_future(command) for command in commands]
        await asyncio.sleep(0.02)
        server.send_signal(signal.SIGKILL)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert await server.wait() == -9
        assert all(outcome == bytes(20_000_000) or isinstance(outcome, RedisConnectionError) for outcome in outcomes)
        print("killed", type(outcomes[0]).__name__)
        await client.aclose()


async def main() -> None:
    await used("tcp", int(sys.argv[1]), connection_class=Connection)
    await used("tls", int(sys.argv[2]), **TLS)
    await untrusted(int(sys.argv[2]))
    await killed()


clean.run(main)
