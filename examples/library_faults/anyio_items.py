"""anyio: what a task was handed in the very turn in which its timeout passes gets lost.

    python -m examples.library_faults.anyio_items

Up to 4.3.0 a memory object stream loses the item, up to 4.12.0 a condition loses the notification. It takes a loop that
is held up, so that the hand-over and the timeout fall into one turn.
"""

import asyncio

import anyio

from examples.library_faults.report import explore


async def lost_item() -> None:
    """A receiver whose timeout passes asks again: the item has to be there."""
    send, receive = anyio.create_memory_object_stream[str](0)
    received: list[str] = []

    async def consume() -> None:
        with anyio.move_on_after(0.01):
            received.append(await receive.receive())
        if not received:
            received.append(await receive.receive())

    async def produce() -> None:
        await asyncio.sleep(0.009)
        await send.send("item")

    async with asyncio.TaskGroup() as group:
        group.create_task(consume())
        group.create_task(produce())
    assert received == ["item"]
    send.close()
    receive.close()


async def lost_notification() -> None:
    """One of two that wait gives up: the other one has to be notified."""
    condition = anyio.Condition()
    items: list[str] = []
    received: list[str] = []

    async def consume(timeout: float) -> None:
        with anyio.move_on_after(timeout):
            async with condition:
                while not items:
                    await condition.wait()
                received.append(items.pop())

    async def produce() -> None:
        await asyncio.sleep(0.009)
        async with condition:
            items.append("item")
            condition.notify()

    async with asyncio.TaskGroup() as group:
        group.create_task(consume(0.01))
        group.create_task(consume(1))
        group.create_task(produce())
    assert received == ["item"]


if __name__ == "__main__":
    explore(lost_item, lost_notification)
