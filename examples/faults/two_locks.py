"""Two transfers lock the same two accounts in opposite order, and wait for each other for ever."""

import asyncio


class Account:
    def __init__(self, name: str, balance: int) -> None:
        self.name = name
        self.balance = balance
        self.lock = asyncio.Lock()


async def transfer(source: Account, target: Account, amount: int) -> None:
    async with source.lock:
        await asyncio.sleep(0.01)  # asks a database
        async with target.lock:
            source.balance -= amount
            target.balance += amount


async def main() -> None:
    savings, current = Account("savings", 100), Account("current", 100)
    print("two transfers begin", flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(transfer(savings, current, 10), name="to current")
        group.create_task(transfer(current, savings, 20), name="to savings")
    print("never printed")


if __name__ == "__main__":
    asyncio.run(main())
