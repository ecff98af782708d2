"""redis-py: commands, pipelines, transactions, pub/sub, blocking pops, a pool that is full, giving up in mid-command.

Usage: redis_client.py UNIX_SOCKET
"""

import asyncio
import sys

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError, WatchError
from redis.utils import HIREDIS_AVAILABLE

from tests.interop import clean


async def commands(client: Redis) -> None:
    assert await client.ping()
    assert await client.set("key", b"v" * 100_000)
    assert await client.get("key") == b"v" * 100_000
    assert await client.mget(["key", "missing"]) == [b"v" * 100_000, None]
    answers = await asyncio.gather(*(client.incr("counter") for _ in range(100)))
    assert sorted(answers) == list(range(1, 101))
    print("commands")


async def pipelines(client: Redis) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for number in range(1000):
            pipeline.set(f"p{number}", number).get(f"p{number}")
        answers = await pipeline.execute()
    assert [int(answer) for answer in answers[1::2]] == list(range(1000))
    async with client.pipeline(transaction=True) as pipeline:
        await pipeline.watch("watched")
        await client.set("watched", "by another")
        pipeline.multi()
        pipeline.set("watched", "by us")
        try:
            await pipeline.execute()
        except WatchError:
            print("pipelines")


async def subscriptions(client: Redis) -> None:
    async with client.pubsub() as channel:
        await channel.subscribe("news")
        assert (await channel.get_message(timeout=5))["type"] == "subscribe"
        assert await channel.get_message(ignore_subscribe_messages=True, timeout=0.01) is None
        for number in range(50):
            await client.publish("news", number)
        got = []
        async for message in channel.listen():
            got.append(int(message["data"]))
            if len(got) == 50:
                break
    assert got == list(range(50))
    print("subscriptions")


async def blocking(client: Redis, path: str) -> None:
    popping = asyncio.create_task(client.blpop(["line"], timeout=5))
    await asyncio.sleep(0.01)
    await client.rpush("line", "first")
    assert await popping == (b"line", b"first")
    assert await client.blpop(["line"], timeout=0.05) is None
    pool = BlockingConnectionPool(
        connection_class=UnixDomainSocketConnection, path=path, max_connections=2, timeout=0.05
    )
    other = Redis(connection_pool=pool)
    holders = [asyncio.create_task(other.blpop(["never"], timeout=0.3)) for _ in range(2)]
    await asyncio.sleep(0.05)
    try:
        await other.ping()
    except RedisConnectionError:
        print("a full pool")
    await asyncio.gather(*holders)
    await other.aclose()
    await pool.disconnect()


async def giving_up(client: Redis) -> None:
    """A command that is cancelled in the middle must not hand its answer to the next one."""
    for delay in (0, 0.0001, 0.001, 0.01):
        waiting = asyncio.create_task(client.blpop(["never"], timeout=2))
        await asyncio.sleep(delay)
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError:
            assert await client.echo("after") == b"after"
    try:
        async with asyncio.timeout(0.02):
            await client.blpop(["never"], timeout=2)
    except TimeoutError:
        assert await client.echo("later") == b"later"
        print("giving up")


async def killed(client: Redis) -> None:
    """The server cuts the connection of a command that waits."""
    single = Redis(connection_pool=ConnectionPool.from_url(f"unix://{sys.argv[1]}?client_name=victim"))
    waiting = asyncio.create_task(single.blpop(["never"], timeout=5))
    await asyncio.sleep(0.05)
    victims = [entry for entry in await client.client_list() if entry["name"] == "victim"]
    await client.client_kill_filter(_id=victims[0]["id"])
    try:
        print("killed", await waiting)
    except RedisConnectionError as error:
        print("killed", type(error).__name__)
    await single.aclose()
    await single.connection_pool.disconnect()


async def main() -> None:
    print("hiredis", HIREDIS_AVAILABLE)
    client = Redis(unix_socket_path=sys.argv[1])
    await client.flushall()
    await commands(client)
    await pipelines(client)
    await subscriptions(client)
    await blocking(client, sys.argv[1])
    await giving_up(client)
    await killed(client)
    await client.aclose()


clean.run(main)
