"""Running an event loop: in one call, in several calls, and by hand.

Shown here: `asyncio.run`, `asyncio.Runner`, and a loop of one's own with `run_until_complete`, `run_forever`, `stop`
and `close`.

The program is a health check. It asks of a few local ports whether anything answers there.
"""

import asyncio
import socket


async def answers(port: int) -> bool:
    """Whether somebody accepts connections on this local port."""
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def check(services: dict[str, int]) -> None:
    """Print the state of each service."""
    for name, port in services.items():
        print(f"  {name}: {'up' if await answers(port) else 'down'}")


def in_one_call(services: dict[str, int]) -> None:
    """`asyncio.run` makes a loop, runs one coroutine to its end, tidies up and closes the loop.

    This is the way for nearly every program: call it once, at the top, and do everything else inside.
    """
    print("asyncio.run:")
    asyncio.run(check(services))


def in_several_calls(services: dict[str, int]) -> None:
    """`asyncio.Runner` keeps one loop for several calls, so what one call opened is still there in the next."""
    print("asyncio.Runner:")
    with asyncio.Runner() as runner:
        server = runner.run(asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0))
        services = services | {"web": server.sockets[0].getsockname()[1]}
        runner.run(check(services))
        server.close()
        runner.run(server.wait_closed())
        print(f"  same loop in every call: {server.get_loop() is runner.get_loop()}")


def by_hand(services: dict[str, int]) -> None:
    """The older style, and what `asyncio.run` does for you: make a loop, use it, close it whatever happens."""
    print("by hand:")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # so that code which asks for the thread's loop finds this one
    try:
        # run_until_complete: run one coroutine and hand back what it returned.
        state = loop.run_until_complete(answers(services["database"]))
        print(f"  database answers: {state}")

        # run_forever: run whatever is scheduled until somebody calls stop. Here a plain callback schedules itself
        # again a few times: a loop needs no coroutine to be of use.
        rounds: list[int] = []

        def tick() -> None:
            rounds.append(len(rounds) + 1)
            if len(rounds) < 3:
                loop.call_later(0.02, tick)
            else:
                loop.stop()

        loop.call_soon(tick)
        loop.run_forever()
        print(f"  rounds before the stop: {rounds}")
    finally:
        # asyncio.run takes these steps too: end what still runs, then give the descriptors back.
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
    print(f"  closed: {loop.is_closed()}")


if __name__ == "__main__":
    # A bound socket that nobody listens on: the port is ours, and connecting to it is refused.
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        known = {"database": reserved.getsockname()[1]}
        in_one_call(known)
        in_several_calls(known)
        by_hand(known)
