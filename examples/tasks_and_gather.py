"""Tasks and gather: many coroutines at the same time.

Shown here: `create_task` starts work in the background, `gather` waits for several results and keeps their order,
names and done callbacks of tasks, and what running together buys in time.

The program asks four shops for the price of a bicycle and picks the cheapest.
"""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Shop:
    """A shop with a website that takes its time."""

    name: str
    price: int
    latency: float


SHOPS = [
    Shop("Alder", 489, latency=0.12),
    Shop("Birch", 455, latency=0.04),
    Shop("Cedar", 512, latency=0.08),
    Shop("Doug", 470, latency=0.02),
]


async def ask(shop: Shop) -> int:
    """The price at one shop. The sleep stands for the network."""
    await asyncio.sleep(shop.latency)
    print(f"  {shop.name} answered")
    return shop.price


async def one_after_the_other() -> list[int]:
    """Each await finishes before the next begins, so the delays add up."""
    return [await ask(shop) for shop in SHOPS]


async def all_at_once() -> list[int]:
    """gather runs them together. It takes as long as the slowest, and answers in the order of its arguments."""
    return await asyncio.gather(*(ask(shop) for shop in SHOPS))


async def in_the_background() -> None:
    """A task starts at the next chance the loop gets, not when it is awaited."""
    # Keep a reference: the loop itself holds tasks only weakly, and a task nobody holds may vanish.
    task = asyncio.create_task(ask(SHOPS[1]), name="ask Birch")
    task.add_done_callback(lambda done: print(f"  callback: {done.get_name()} is done"))
    print(f"  created, done: {task.done()}")
    await asyncio.sleep(0)  # let the loop take one turn: the task runs up to its first await
    print("  meanwhile this coroutine goes on with something else")
    price = await task
    print(f"  price {price}, done: {task.done()}")


async def main() -> None:
    """Run the three ways and compare the first two."""
    print("one after the other:")
    start = time.perf_counter()
    prices = await one_after_the_other()
    sequential = time.perf_counter() - start

    print("all at once:")
    start = time.perf_counter()
    together_prices = await all_at_once()
    together = time.perf_counter() - start

    print(f"same prices in the same order: {prices == together_prices}")
    print(f"took {sequential:.2f} s and {together:.2f} s, together was faster: {together < sequential}")
    cheapest = min(zip(together_prices, SHOPS, strict=True), key=lambda pair: pair[0])
    print(f"cheapest: {cheapest[1].name} at {cheapest[0]}")

    print("in the background:")
    await in_the_background()


if __name__ == "__main__":
    asyncio.run(main())
