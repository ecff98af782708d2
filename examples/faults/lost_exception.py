"""A background task has failed. The program keeps it, so asyncio does not even log that, and nobody asks."""

import asyncio


async def refresh(cache: dict[str, int]) -> None:
    while True:
        cache["price"] += 1
        await asyncio.sleep(0.01)


async def main() -> None:
    refreshing = asyncio.create_task(refresh({}), name="refresh")
    print("the cache is refreshed from now on, so it is believed", flush=True)
    await asyncio.sleep(3600)
    refreshing.cancel()


if __name__ == "__main__":
    asyncio.run(main())
