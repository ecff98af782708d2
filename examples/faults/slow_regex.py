"""A regular expression that backtracks for ages blocks the loop, and keeps the interpreter's lock meanwhile."""

import asyncio
import re


def search(text: str) -> bool:
    return re.search(r"^(\w+\s?)+$", text) is not None


async def handle(text: str) -> bool:
    return search(text)


async def main() -> None:
    print("a request begins", flush=True)
    await asyncio.create_task(handle("a" * 60 + "!"), name="request")


if __name__ == "__main__":
    asyncio.run(main())
