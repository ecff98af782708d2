"""Lock: one at a time, where an await stands in the middle of something that belongs together.

Shown here: the race that needs a lock, `async with lock`, work that is done once for many, `locked()`, and that
waiters are served in the order they came.

The program sells concert tickets and then calls a service that wants a fresh access token.
"""

import asyncio


class BoxOffice:
    """Sells numbered seats. Looking up the stock and writing it back both take a moment."""

    def __init__(self, seats: int) -> None:
        self.seats = seats
        self.sold: list[str] = []
        self._lock = asyncio.Lock()

    async def sell_carelessly(self, buyer: str) -> None:
        """Others run during the await, so what was read may be stale by the time it is written back."""
        seats = self.seats
        if seats > 0:
            await asyncio.sleep(0)  # printing the ticket
            self.seats = seats - 1
            self.sold.append(buyer)

    async def sell(self, buyer: str) -> None:
        """The same, but whoever comes second waits until the first is through."""
        async with self._lock:
            await self.sell_carelessly(buyer)


class Api:
    """Calls need an access token, and fetching one is slow. Ten callers should not fetch ten."""

    def __init__(self) -> None:
        self.fetched = 0
        self._token: str | None = None
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """The token, fetched by the first who asks; the others wait for it at the lock."""
        async with self._lock:
            # Look inside the lock: the one before may have done the work already.
            if self._token is None:
                await asyncio.sleep(0.02)
                self.fetched += 1
                self._token = f"token-{self.fetched}"
            return self._token

    async def call(self, caller: int) -> str:
        """One call with the shared token."""
        return f"caller {caller} used {await self.token()}"


async def queue_up(lock: asyncio.Lock, name: str, served: list[str]) -> None:
    """Stand in line."""
    async with lock:
        served.append(name)


async def main() -> None:
    """Show the race, the cure, work done once, and the order of the queue."""
    buyers = ["Ann", "Bob", "Cleo", "Dan"]

    careless = BoxOffice(seats=2)
    await asyncio.gather(*(careless.sell_carelessly(buyer) for buyer in buyers))
    print(f"without a lock: 2 seats, sold to {careless.sold}, left {careless.seats}")

    careful = BoxOffice(seats=2)
    await asyncio.gather(*(careful.sell(buyer) for buyer in buyers))
    print(f"with a lock:    2 seats, sold to {careful.sold}, left {careful.seats}")

    api = Api()
    calls = await asyncio.gather(*(api.call(caller) for caller in range(10)))
    print(f"{len(calls)} calls, tokens fetched: {api.fetched}; the last: {calls[-1]}")

    lock, served = asyncio.Lock(), list[str]()
    async with lock:
        # While the lock is held here, they line up. One of them loses patience.
        line = [asyncio.create_task(queue_up(lock, name, served)) for name in buyers]
        await asyncio.sleep(0)
        line[1].cancel()
        print(f"locked: {lock.locked()}, served so far: {served}")
    await asyncio.gather(*line, return_exceptions=True)
    print(f"locked: {lock.locked()}, served in order: {served}")


if __name__ == "__main__":
    asyncio.run(main())
