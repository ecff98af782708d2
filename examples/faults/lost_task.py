"""A task is created and its reference is dropped, so the garbage collector may take it before it is done."""

import asyncio


async def write_log(line: str) -> None:
    await asyncio.sleep(3600)  # a slow disk
    print(line)


async def main() -> None:
    asyncio.create_task(write_log("begun"), name="write log")  # noqa: RUF006 # the fault
    print("something is logged", flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main())
