"""A handler calls a function that blocks, so nothing else runs."""

import asyncio
import time


def look_up(name: str) -> str:
    time.sleep(3600)  # such as a request by a library that does not know asyncio
    return name


async def handle(name: str) -> str:
    return look_up(name)


async def heartbeat() -> None:
    while True:
        await asyncio.sleep(0.01)


async def main() -> None:
    beat = asyncio.create_task(heartbeat(), name="heartbeat")
    await asyncio.sleep(0.05)
    print("a request begins", flush=True)
    await asyncio.create_task(handle("somebody"), name="request")
    beat.cancel()


if __name__ == "__main__":
    asyncio.run(main())
