"""asyncpg, psycopg and its pool over TCP, and asyncpg over TLS that starts within the connection.

Usage: postgresql_network.py PORT
"""

import asyncio
import logging
import sys

import asyncpg
import psycopg
from psycopg_pool import AsyncConnectionPool

from tests.interop import clean
from tests.support import certificates

WHERE = f"host=127.0.0.1 port={sys.argv[1]} user=postgres dbname=postgres sslmode=disable"
END = "SELECT pg_terminate_backend(pg_backend_pid())"
END_OF = "SELECT pg_terminate_backend(%s)"
ROWS = "SELECT n, repeat('x', 1000) FROM generate_series(1, 10000000) n"


async def with_asyncpg(kind: str, **keywords: object) -> None:
    where = {"host": "localhost", "port": int(sys.argv[1]), "user": "postgres", "database": "postgres"}
    async with asyncpg.create_pool(**where, **keywords, min_size=2, max_size=5) as pool:
        assert sorted(await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(50)))) == [*range(50)]
        async with pool.acquire() as connection:
            rows = await connection.fetch("SELECT n, repeat('x', n) FROM generate_series(1, 3000) n")
            assert [(row[0], len(row[1])) for row in rows] == [(n, n) for n in range(1, 3001)]
            secure = await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            await connection.execute("CREATE TEMP TABLE numbers (n int, text text)")
            await connection.copy_records_to_table("numbers", records=[(n, "t" * 200) for n in range(10_000)])
            assert await connection.fetchval("SELECT sum(n) FROM numbers") == sum(range(10_000))
            try:
                async with asyncio.timeout(0.02):
                    await connection.execute("SELECT pg_sleep(10)")
            except TimeoutError:
                assert await connection.fetchval("SELECT 5") == 5
        connection = await asyncpg.connect(**where, **keywords)
        try:
            await connection.execute(END)
        except (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError):
            print("asyncpg", kind, secure)
        await connection.close()


async def asyncpg_in_mid_query(kind: str, **keywords: object) -> None:
    """The backend is ended while it thinks; while it copies, asyncpg itself may wait for ever, on any loop."""
    where = {"host": "localhost", "port": int(sys.argv[1]), "user": "postgres", "database": "postgres"}
    admin = await asyncpg.connect(**where, **keywords)
    connection = await asyncpg.connect(**where, **keywords)
    pid = connection.get_server_pid()
    waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(10)"))
    while not await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'", pid):
        await asyncio.sleep(0.001)
    assert await admin.fetchval("SELECT pg_terminate_backend($1)", pid)
    try:
        print("never", await waiting)
    except (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError):
        await connection.close()
        assert connection.is_closed()
    await admin.close()
    print("ended in mid-query: asyncpg", kind)


async def psycopg_in_mid_stream() -> None:
    async with await psycopg.AsyncConnection.connect(WHERE, autocommit=True) as admin:
        async with await psycopg.AsyncConnection.connect(WHERE, autocommit=True) as connection:
            count = 0
            try:
                async for number, _ in connection.cursor().stream(ROWS):
                    count += 1
                    assert number == count
                    if number == 10:
                        await admin.execute(END_OF, (connection.info.backend_pid,))
            except psycopg.OperationalError:  # AdminShutdown, unless a reset overtakes what the server had to say
                assert connection.closed
                print("ended in mid-query: psycopg", count < 10_000_000)
        async with await psycopg.AsyncConnection.connect(WHERE, autocommit=True) as connection:
            waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(10)"))
            await asyncio.sleep(0.05)
            await admin.execute(END_OF, (connection.info.backend_pid,))
            try:
                await waiting
            except psycopg.OperationalError:
                print("ended in mid-query: psycopg", connection.closed)


async def with_psycopg() -> None:
    async with await psycopg.AsyncConnection.connect(WHERE, autocommit=True) as connection:
        cursor = await connection.execute("SELECT n, repeat('x', n) FROM generate_series(1, 3000) n")
        assert [(row[0], len(row[1])) async for row in cursor] == [(n, n) for n in range(1, 3001)]
        try:
            await connection.execute(END)
        except psycopg.OperationalError:  # AdminShutdown, unless a reset overtakes what the server had to say
            print("psycopg", connection.closed)


async def with_a_pool() -> None:

    async def doubled(number: int) -> int:
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT %s::int * 2", (number,))
            row = await cursor.fetchone()
            return row[0] if row else -1

    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it warns of the connection that is ended here
    async with AsyncConnectionPool(WHERE, min_size=2, max_size=4, open=False) as pool:
        await pool.wait(timeout=10)
        assert sorted(await asyncio.gather(*(doubled(n) for n in range(40)))) == [n * 2 for n in range(40)]
        try:
            async with pool.connection() as connection:
                await connection.execute(END)
        except psycopg.OperationalError:
            assert await doubled(21) == 42
            print("a pool")


async def main() -> None:
    await with_asyncpg("tcp", ssl=False)
    await with_asyncpg("tls", ssl=certificates.client_context())
    await asyncpg_in_mid_query("tcp", ssl=False)
    await asyncpg_in_mid_query("tls", ssl=certificates.client_context())
    await with_psycopg()
    await psycopg_in_mid_stream()
    await with_a_pool()


clean.run(main)
