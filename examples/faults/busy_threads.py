"""Calls that take long keep all threads of the executor, so a short one waits for ever."""

import asyncio
import concurrent.futures
import time


def convert(name: str) -> str:
    time.sleep(3600)
    return name


def save(name: str) -> str:
    return name


async def main() -> None:
    asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(4))
    print("four conversions begin, and something is to be saved", flush=True)
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(asyncio.to_thread(convert, f"film {number}"), name=f"convert {number}")
        await asyncio.sleep(0.01)
        group.create_task(asyncio.to_thread(save, "a letter"), name="save")


if __name__ == "__main__":
    asyncio.run(main())
