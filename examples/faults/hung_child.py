"""One of several requests never gets its answer, so the task group never ends."""

import asyncio


async def fetch(number: int, answer: asyncio.Event) -> int:
    await answer.wait()
    return number


async def main() -> None:
    answers = [asyncio.Event() for _ in range(5)]
    print("five requests begin", flush=True)
    async with asyncio.TaskGroup() as group:
        for number, answer in enumerate(answers):
            group.create_task(fetch(number, answer), name=f"request {number}")
        await asyncio.sleep(0.01)
        for number, answer in enumerate(answers):
            if number != 3:
                answer.set()
    print("never printed")


if __name__ == "__main__":
    asyncio.run(main())
