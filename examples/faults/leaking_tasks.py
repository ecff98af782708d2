"""Each request starts a task that never ends."""

import asyncio

watchers: set[asyncio.Task[None]] = set()


async def watch(disconnected: asyncio.Event) -> None:
    await disconnected.wait()  # nobody sets it


async def handle() -> None:
    watcher = asyncio.create_task(watch(asyncio.Event()))
    watchers.add(watcher)
    watcher.add_done_callback(watchers.discard)
    await asyncio.sleep(0.001)


async def main() -> None:
    print("requests come", flush=True)
    while True:
        await asyncio.create_task(handle(), name="request")
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main())
