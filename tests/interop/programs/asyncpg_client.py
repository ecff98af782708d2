"""asyncpg: queries, cursors, copies, transactions, notifications, pools, giving up, a backend that is ended.

Usage: asyncpg_client.py DIRECTORY_OF_THE_SOCKET
"""

import asyncio
import io
import sys

import asyncpg

from tests.interop import clean


async def queries(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval("SELECT $1::int + 1", 41) == 42
    statement = await connection.prepare("SELECT n, repeat('x', n) FROM generate_series(1, $1) n")
    rows = await statement.fetch(2000)
    assert [(row[0], len(row[1])) for row in rows] == [(n, n) for n in range(1, 2001)]
    try:
        await connection.execute("SELECT nothing FROM nowhere")
    except asyncpg.UndefinedTableError:
        print("queries")


async def cursors_and_copies(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TEMP TABLE numbers (n int, text text)")
    async with connection.transaction():
        await connection.copy_records_to_table("numbers", records=[(n, "t" * 100) for n in range(5000)])
        total = 0
        async for row in connection.cursor("SELECT n FROM numbers", prefetch=300):
            total += row["n"]
    assert total == sum(range(5000))
    out = io.BytesIO()
    await connection.copy_from_query("SELECT n FROM numbers ORDER BY n", output=out)
    assert out.getvalue() == b"".join(b"%d\n" % n for n in range(5000))
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM numbers")
            raise KeyError
    except KeyError:
        assert await connection.fetchval("SELECT count(*) FROM numbers") == 5000
        print("cursors and copies")


async def notifications(connection: asyncpg.Connection, other: asyncpg.Connection) -> None:
    got: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener("news", lambda *what: got.put_nowait(what[3]))
    for number in range(20):
        await other.execute("SELECT pg_notify('news', $1)", str(number))
    assert [await got.get() for _ in range(20)] == [str(number) for number in range(20)]
    await connection.reset()
    print("notifications")


async def giving_up(connection: asyncpg.Connection) -> None:
    try:
        await connection.fetch("SELECT pg_sleep(10)", timeout=0.05)
    except TimeoutError:
        assert await connection.fetchval("SELECT 1") == 1
    for delay in (0, 0.001, 0.02):
        waiting = asyncio.create_task(connection.fetch("SELECT pg_sleep(10)"))
        await asyncio.sleep(delay)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await connection.fetchval("SELECT 2") == 2
    print("giving up")


async def pools(where: dict[str, str]) -> None:
    async with asyncpg.create_pool(**where, min_size=2, max_size=5) as pool:
        answers = await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(100)))
        assert answers == list(range(100))
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
            sleeping = asyncio.create_task(connection.fetch("SELECT pg_sleep(10)"))
            await asyncio.sleep(0.02)
            await pool.execute("SELECT pg_terminate_backend($1)", pid)
            try:
                await sleeping
            except (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError):
                print("a backend is ended")
    print("pools")


async def main() -> None:
    where = {"host": sys.argv[1], "user": "postgres", "database": "postgres"}
    connection, other = await asyncpg.connect(**where), await asyncpg.connect(**where)
    await queries(connection)
    await cursors_and_copies(connection)
    await notifications(connection, other)
    await giving_up(connection)
    await pools(where)
    await connection.close()
    await other.close()


clean.run(main)
