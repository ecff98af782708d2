"""psycopg: queries, pipelines, copies, notifications, giving up in the middle of a query.

Usage: psycopg_client.py DIRECTORY_OF_THE_SOCKET
"""

import asyncio
import sys

import psycopg

from tests.interop import clean


async def main() -> None:
    where = f"host={sys.argv[1]} user=postgres dbname=postgres"
    async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
        cursor = await connection.execute("SELECT n FROM generate_series(1, 3000) n")
        assert [row[0] async for row in cursor] == list(range(1, 3001))
        print("queries")
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT %s::int", (n,)) for n in range(200)]
        assert [(await cursor.fetchone() or [None])[0] for cursor in cursors] == list(range(200))
        print("pipelines")
        await connection.execute("CREATE TEMP TABLE numbers (n int)")
        async with connection.cursor() as cursor, cursor.copy("COPY numbers FROM STDIN") as copy:
            for number in range(5000):
                await copy.write_row((number,))
        async with connection.cursor() as cursor, cursor.copy("COPY numbers TO STDOUT") as copy:
            data = b"".join([bytes(block) async for block in copy])
        assert data == b"".join(b"%d\n" % n for n in range(5000))
        print("copies")
        await connection.execute("LISTEN news")
        async with await psycopg.AsyncConnection.connect(where, autocommit=True) as other:
            await other.execute("NOTIFY news, 'extra'")
        async for notification in connection.notifies(timeout=5, stop_after=1):
            print("notified", notification.payload)
        waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(10)"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled() or isinstance(waiting.exception(), psycopg.errors.QueryCanceled)
        cursor = await connection.execute("SELECT 1")
        assert await cursor.fetchone() == (1,)
        print("giving up")


clean.run(main)
