"""A task asks again and again whether something has happened. It lets others run, but never waits."""

import asyncio


async def wait_for(answers: list[str]) -> str:
    while not answers:
        await asyncio.sleep(0)
    return answers[0]


async def main() -> None:
    answers: list[str] = []
    print("an answer is awaited", flush=True)
    await asyncio.create_task(wait_for(answers), name="impatient")


if __name__ == "__main__":
    asyncio.run(main())
