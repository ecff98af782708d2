"""Async context managers: opening and closing what takes time to open and close.

Shown here: a class with `__aenter__` and `__aexit__`, `contextlib.asynccontextmanager`, `AsyncExitStack` for a number
of resources known only while running, and that clean-up happens after errors and cancelling too.

The program moves money between accounts of a small bank, in transactions that hold or vanish as a whole.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType


class Bank:
    """A data base with accounts. Every request takes a moment."""

    def __init__(self, accounts: dict[str, int]) -> None:
        self.accounts = accounts
        self.connections = 0

    async def read(self, name: str) -> int:
        """The balance of an account."""
        await asyncio.sleep(0.001)
        return self.accounts[name]


class Transaction:
    """Changes that are written together when the block ends well, and forgotten when it does not."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._changes: dict[str, int] = {}

    async def __aenter__(self) -> "Transaction":
        """Runs before the block; what it returns is what comes after `as`."""
        await asyncio.sleep(0.001)
        print("  begin")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Runs after the block in every case, with the exception if there was one. True would swallow it."""
        await asyncio.sleep(0.001)
        if error is None:
            self._bank.accounts.update(self._changes)
            print("  commit")
        else:
            print(f"  roll back, because of {type(error).__name__}")
        return False

    async def change(self, name: str, amount: int) -> None:
        """Add to an account; it must not fall below nought."""
        balance = self._changes.get(name, await self._bank.read(name)) + amount
        if balance < 0:
            raise ValueError(f"{name} has not enough")
        self._changes[name] = balance


async def transfer(bank: Bank, source: str, target: str, amount: int) -> None:
    """Move money: both changes or none."""
    async with Transaction(bank) as transaction:
        await transaction.change(target, amount)
        await transaction.change(source, -amount)


@contextlib.asynccontextmanager
async def connection(bank: Bank, name: str) -> AsyncIterator[str]:
    """The short way to write one: what stands before the yield opens, what stands in `finally` closes."""
    await asyncio.sleep(0.001)
    bank.connections += 1
    try:
        yield f"connection {name}"
    finally:
        await asyncio.sleep(0.001)
        bank.connections -= 1
        print(f"  {name} closed")


async def main() -> None:
    """Transfer money, with and without luck."""
    bank = Bank({"ann": 100, "bob": 20})

    print("a good transfer:")
    await transfer(bank, "ann", "bob", 30)
    print(f"  {bank.accounts}")

    print("a bad transfer:")
    try:
        await transfer(bank, "bob", "ann", 500)
    except ValueError as error:
        print(f"  {error}: {bank.accounts}")

    print("a transfer that takes too long:")
    try:
        async with Transaction(bank) as transaction:
            await transaction.change("ann", -5)
            async with asyncio.timeout(0.05):
                await asyncio.sleep(3600)  # the timeout cancels here, and the transaction notices
    except TimeoutError:
        print(f"  timed out: {bank.accounts}")

    # A stack closes whatever has been put on it, last in first out, even if opening the next one fails.
    print("many connections:")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.sleep, 0)
        opened = [await stack.enter_async_context(connection(bank, name)) for name in ("first", "second", "third")]
        print(f"  {len(opened)} open, the last is {opened[-1]}")
    print(f"  open in the end: {bank.connections}")


if __name__ == "__main__":
    asyncio.run(main())
