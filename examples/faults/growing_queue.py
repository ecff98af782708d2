"""More is put into a queue than is taken out, and nothing limits it."""

import asyncio


class Mailer:
    def __init__(self) -> None:
        self.letters: asyncio.Queue[str] = asyncio.Queue()

    async def send(self) -> None:
        while True:
            await self.letters.get()
            await asyncio.sleep(0.1)  # a slow server

    async def write(self) -> None:
        while True:
            self.letters.put_nowait("a letter")
            await asyncio.sleep(0.001)


async def main() -> None:
    mailer = Mailer()
    print("letters are written", flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(mailer.send(), name="send")
        group.create_task(mailer.write(), name="write")


if __name__ == "__main__":
    asyncio.run(main())
