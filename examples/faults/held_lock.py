"""A task asks a peer that does not answer, and holds a lock meanwhile that everybody needs."""

import asyncio


async def refresh(lock: asyncio.Lock) -> None:
    async with lock:
        await asyncio.sleep(3600)  # a peer that does not answer


async def handle(lock: asyncio.Lock) -> None:
    async with lock:
        pass


async def main() -> None:
    lock = asyncio.Lock()
    print("three requests begin", flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(refresh(lock), name="refresh")
        for number in range(3):
            group.create_task(handle(lock), name=f"request {number}")


if __name__ == "__main__":
    asyncio.run(main())
