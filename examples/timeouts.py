"""Timeouts: never wait longer than you want to.

Shown here: `wait_for` for one awaitable, `timeout` for a whole block, a deadline shared by several steps, a timeout
that is moved while it runs, and how to tell whose timeout it was when they are nested.

The program asks a server for the weather. The server is quick, slow or silent, as it is told.
"""

import asyncio

DELAYS = {"quick": 0.0, "slow": 0.4, "silent": 3600.0}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one question after the delay that it asks for."""
    mood = (await reader.readline()).decode().strip()
    try:
        # read() ends when the client hangs up, so a server that waits like this does not wait for nobody.
        await asyncio.wait_for(reader.read(), timeout=DELAYS[mood])
    except TimeoutError:
        writer.write(f"sunny ({mood})\n".encode())
    writer.close()


async def forecast(port: int, mood: str) -> str:
    """Ask over a connection of its own. A timeout cancels this coroutine where it waits; `finally` still runs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{mood}\n".encode())
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


async def one_call(port: int) -> None:
    """wait_for: one awaitable, one timeout."""
    print(f"wait_for: {await asyncio.wait_for(forecast(port, 'quick'), timeout=5)}")
    try:
        await asyncio.wait_for(forecast(port, "silent"), timeout=0.03)
    except TimeoutError:
        print("wait_for: gave up on the silent one")


async def a_block(port: int) -> None:
    """timeout: everything inside the block shares the time."""
    answers: list[str] = []
    try:
        async with asyncio.timeout(0.15) as limit:
            for mood in ("quick", "quick", "slow", "quick"):
                answers.append(await forecast(port, mood))
    except TimeoutError:
        print(f"timeout: {len(answers)} answers came in time, expired: {limit.expired()}")


async def a_shared_deadline(port: int) -> None:
    """timeout_at: an instant on the loop's clock, handed down to everything that has to be done by then."""
    deadline = asyncio.get_running_loop().time() + 0.1

    async def ask(mood: str) -> str:
        try:
            async with asyncio.timeout_at(deadline):
                return await forecast(port, mood)
        except TimeoutError:
            return f"no answer ({mood})"

    print(f"timeout_at: {await asyncio.gather(ask('quick'), ask('slow'), ask('silent'))}")


async def a_moving_timeout(port: int) -> None:
    """reschedule: as long as answers keep coming, allow more time."""
    loop = asyncio.get_running_loop()
    answers = 0
    try:
        async with asyncio.timeout(None) as limit:
            for mood in ("quick", "quick", "quick", "silent"):
                limit.reschedule(loop.time() + 0.1)
                await forecast(port, mood)
                answers += 1
    except TimeoutError:
        print(f"reschedule: {answers} answers, then silence")


async def nested(port: int) -> None:
    """The inner one is shorter here: it expires, the outer one does not, and work goes on inside the outer one."""
    async with asyncio.timeout(5) as outer:
        try:
            async with asyncio.timeout(0.02) as inner:
                await forecast(port, "slow")
        except TimeoutError:
            print(f"nested: inner expired: {inner.expired()}, outer expired: {outer.expired()}")
            print(f"nested: second try: {await forecast(port, 'quick')}")


async def main() -> None:
    """Show the ways one by one."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await one_call(port)
        await a_block(port)
        await a_shared_deadline(port)
        await a_moving_timeout(port)
        await nested(port)


if __name__ == "__main__":
    asyncio.run(main())
