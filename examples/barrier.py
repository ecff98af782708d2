"""Barrier: nobody goes on before all are there.

Shown here: `wait` and the number it gives, `async with`, rounds that begin together one after the other, `abort` with
`BrokenBarrierError` for all who wait, and `reset`.

The program is a boat race: the boats start together, each leg begins when all have arrived, and a storm calls it off.
"""

import asyncio

LEGS = 3
BOATS = {"Heron": 0.002, "Otter": 0.006, "Pike": 0.004}


async def sail(boat: str, pace: float, line: asyncio.Barrier, log: list[tuple[int, str]]) -> None:
    """All legs; no boat begins one before the slowest has ended the last."""
    for leg in range(1, LEGS + 1):
        await asyncio.sleep(pace)
        place = await line.wait()
        log.append((leg, boat))
        # Each gets another number, so exactly one can do what has to be done once.
        if place == 0:
            print(f"  leg {leg} begins for {line.parties} boats")


async def wait_in_storm(boat: str, line: asyncio.Barrier) -> str:
    """Wait at the line, whatever comes."""
    try:
        async with line:
            return f"{boat} starts"
    except asyncio.BrokenBarrierError:
        return f"{boat} goes home"


async def main() -> None:
    """A race, a storm, and another try."""
    line = asyncio.Barrier(len(BOATS))
    log: list[tuple[int, str]] = []
    await asyncio.gather(*(sail(boat, pace, line, log) for boat, pace in BOATS.items()))
    print(f"legs stayed apart: {[leg for leg, _ in log] == sorted(leg for leg, _ in log)}")

    boats = [asyncio.create_task(wait_in_storm(boat, line)) for boat in ("Heron", "Otter")]
    await asyncio.sleep(0)
    print(f"waiting at the line: {line.n_waiting} of {line.parties}")
    await line.abort()
    print(f"storm: {await asyncio.gather(*boats)}, broken: {line.broken}")

    await line.reset()
    print(f"the day after, broken: {line.broken}")
    print(await asyncio.gather(*(wait_in_storm(boat, line) for boat in BOATS)))


if __name__ == "__main__":
    asyncio.run(main())
