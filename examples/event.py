"""Event: many wait until one says go.

Shown here: `wait`, `set`, `clear` and `is_set`, a start that waits for a service to be ready, and a switch that
pauses workers and lets them go on.

The program is a warehouse: robots wait for the power, then carry boxes, and stand still while somebody is on the
floor.
"""

import asyncio


class Warehouse:
    """Boxes, and two events that the robots obey."""

    def __init__(self, boxes: int) -> None:
        self.powered = asyncio.Event()
        self.clear_floor = asyncio.Event()
        self.clear_floor.set()
        self.boxes = boxes
        self.carried: list[str] = []

    async def robot(self, name: str) -> int:
        """Carry boxes until none are left."""
        print(f"  {name} waits for the power")
        await self.powered.wait()  # returns at once when the event is set already
        carried = 0
        while self.boxes:
            await self.clear_floor.wait()
            if not self.boxes:
                break
            self.boxes -= 1
            await asyncio.sleep(0.005)
            carried += 1
            self.carried.append(name)
        return carried

    async def switch_on(self) -> None:
        """Start up, then wake all robots together."""
        await asyncio.sleep(0.02)
        print("  power on")
        self.powered.set()


async def main() -> None:
    """Run a shift with a break in the middle."""
    warehouse = Warehouse(boxes=12)
    robots = [asyncio.create_task(warehouse.robot(name)) for name in ("R1", "R2", "R3")]
    await asyncio.sleep(0)
    print(f"powered: {warehouse.powered.is_set()}, carried: {len(warehouse.carried)}")
    await warehouse.switch_on()
    print(f"powered: {warehouse.powered.is_set()}")

    # Somebody walks in. What a robot holds it still puts down; then all stand still, for as long as it takes.
    while len(warehouse.carried) < 6:
        await asyncio.sleep(0)
    warehouse.clear_floor.clear()
    await asyncio.sleep(0.03)
    standing = len(warehouse.carried)
    await asyncio.sleep(0.03)
    print(f"robots stand still: {len(warehouse.carried) == standing}, boxes left: {warehouse.boxes > 0}")
    warehouse.clear_floor.set()

    counts = await asyncio.gather(*robots)
    print(f"carried {sum(counts)} boxes, every robot helped: {all(counts)}")

    # An event that is set stays set: whoever comes late does not wait.
    await asyncio.wait_for(warehouse.powered.wait(), timeout=1)
    print("a late robot starts at once")


if __name__ == "__main__":
    asyncio.run(main())
