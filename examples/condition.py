"""Condition: wait until something that others change is as you want it.

Shown here: `wait_for` with a predicate, `wait` in a loop, `notify` and `notify_all`, a timeout that leaves the others
in line, and two conditions that share one lock.

The program is a car park with few places: cars wait for a free one, and the attendant waits until all have gone.
"""

import asyncio


class CarPark:
    """Places, and the two things that somebody may wait for; both are looked at under the same lock."""

    def __init__(self, places: int) -> None:
        lock = asyncio.Lock()
        self.free_place = asyncio.Condition(lock)
        self.all_gone = asyncio.Condition(lock)
        self.places = places
        self.inside: set[str] = set()
        self.most = 0

    async def enter(self, car: str) -> None:
        """Take a place as soon as there is one."""
        async with self.free_place:
            # Woken does not mean that it is true: another may have been faster. `wait_for` looks again and waits again.
            await self.free_place.wait_for(lambda: len(self.inside) < self.places)
            self.inside.add(car)
            self.most = max(self.most, len(self.inside))

    async def leave(self, car: str) -> None:
        """Give the place up: one of those who wait can have it."""
        async with self.free_place:
            self.inside.remove(car)
            self.free_place.notify()
            if not self.inside:
                self.all_gone.notify_all()

    async def widen(self, places: int) -> None:
        """Open another floor: more than one can go in, so all are woken and look."""
        async with self.free_place:
            self.places = places
            self.free_place.notify_all()

    async def close(self) -> None:
        """Wait until nobody is inside; the same as `wait_for`, by hand."""
        async with self.all_gone:
            while self.inside:
                await self.all_gone.wait()


async def visit(park: CarPark, car: str, seconds: float, seen: list[str]) -> None:
    """Go in, stay, go out."""
    await park.enter(car)
    seen.append(car)
    await asyncio.sleep(seconds)
    await park.leave(car)


async def main() -> None:
    """A day at the car park."""
    park = CarPark(places=2)
    seen: list[str] = []
    cars = [asyncio.create_task(visit(park, f"car {number}", 0.02, seen)) for number in range(1, 7)]
    await asyncio.sleep(0.01)
    print(f"inside: {sorted(park.inside)}, waiting: {len(cars) - len(seen)}")

    # Whoever loses patience leaves the line, and nobody behind it is forgotten.
    try:
        async with asyncio.timeout(0.001):
            await park.enter("impatient")
    except TimeoutError:
        print("one drove away again")

    await asyncio.gather(*cars)
    print(f"{len(seen)} cars came in, one after the other")
    print(f"never more than {park.most} at the same time")

    await park.enter("early")
    await park.enter("late")
    more = [asyncio.create_task(park.enter(name)) for name in ("third", "fourth")]
    await asyncio.sleep(0)
    await park.widen(4)
    await asyncio.gather(*more)
    print(f"with another floor: {len(park.inside)} inside")

    closing = asyncio.create_task(park.close())
    for car in sorted(park.inside):
        await park.leave(car)
    await closing
    print("closed")

    # A condition is only looked at with its lock held; asyncio says so.
    try:
        park.free_place.notify()
    except RuntimeError as error:
        print(f"RuntimeError: {error}")


if __name__ == "__main__":
    asyncio.run(main())
