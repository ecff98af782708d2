"""redis-py over TCP and over TLS, with its parser in Python and with hiredis, and a server that is killed meanwhile.

Usage: redis_network.py PORT TLS_PORT
"""

import asyncio
import signal
import sys
import tempfile

from redis._parsers import _AsyncHiredisParser, _AsyncRESP2Parser
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.interop import clean, servers
from tests.support import certificates
from tests.support.programs import free_port

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


async def killed(kind: str, **keywords: object) -> None:
    """A server of its own dies while one command waits, another listens, and answers of many megabytes are coming."""
    port = str(free_port())
    with tempfile.TemporaryDirectory() as directory:
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        command += ["--port", "0", "--tls-port", port, *servers.redis_tls()] if kind == "tls" else ["--port", port]
        null = asyncio.subprocess.DEVNULL
        server = await asyncio.create_subprocess_exec(*command, stdout=null, stderr=null)
        pool = ConnectionPool(host="localhost", port=int(port), **keywords)
        client = Redis(connection_pool=pool)
        async with asyncio.timeout(10):
            while not await answers(client):
                await asyncio.sleep(0.01)
        await client.set("large", bytes(20_000_000))
        channel = client.pubsub()
        await channel.subscribe("news")
        assert (await channel.get_message(timeout=5))["type"] == "subscribe"
        commands = [client.blpop(["never"], timeout=20), channel.get_message(timeout=20)]
        commands += (client.get("large") for _ in range(5))
        waiting = [asyncio.ensure_future(command) for command in commands]
        await asyncio.sleep(0.02)
        server.send_signal(signal.SIGKILL)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert await server.wait() == -9
        assert all(isinstance(outcome, RedisConnectionError) for outcome in outcomes[:2]), outcomes
        assert all(outcome == bytes(20_000_000) or isinstance(outcome, RedisConnectionError) for outcome in outcomes)
        assert not await answers(client)
        await channel.aclose()
        await client.aclose()
        await pool.disconnect()
        print("killed", kind, type(outcomes[0]).__name__)


async def answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except RedisConnectionError:
        return False


async def main() -> None:
    await used("tcp", int(sys.argv[1]), connection_class=Connection)
    await used("tls", int(sys.argv[2]), **TLS)
    await untrusted(int(sys.argv[2]))
    await killed("tcp", connection_class=Connection)
    await killed("tls", **TLS)


clean.run(main)
