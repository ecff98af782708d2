"""Cancelling: stopping a task politely, and leaving nothing behind.

Shown here: `task.cancel`, clean-up in `finally` and in `except CancelledError`, clean-up that awaits, `shield` for
what must not be torn in the middle, and what to do when a task is cancelled together with others.

The program downloads a file piece by piece. A download that is given up must not leave half a file.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path


async def pieces() -> AsyncIterator[bytes]:
    """A server that never runs out of data. The sleep stands for the network."""
    while True:
        await asyncio.sleep(0.002)
        yield b"x" * 1024


async def download(target: Path, started: asyncio.Event) -> None:
    """Write to a partial file, and take it away when the download is given up."""
    partial = target.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            async for piece in pieces():
                file.write(piece)
                started.set()
    except asyncio.CancelledError as cancelled:
        print(f"  cancelled, because: {cancelled}")
        raise  # always go on raising: a task that swallows it looks as if it had finished
    finally:
        # Runs in every case. Awaiting is fine here; only a second cancel() would interrupt it.
        await asyncio.to_thread(partial.unlink)
        print("  partial file removed")


async def give_up_a_download(folder: Path) -> None:
    """Cancel a task that is at work and wait for its clean-up."""
    started = asyncio.Event()
    task = asyncio.create_task(download(folder / "film.mp4", started))
    await started.wait()
    print(f"while it runs: {sorted(path.name for path in folder.iterdir())}")

    # cancel() only asks. The exception is raised inside the task at its next chance, so wait for the end.
    asked = task.cancel("the user closed the window")
    print(f"asked: {asked}, done already: {task.done()}")
    try:
        await task
    except asyncio.CancelledError:
        print(f"cancelled: {task.cancelled()}, left over: {sorted(path.name for path in folder.iterdir())}")
    print(f"cancelling it once more does nothing: {task.cancel()}")


async def save_order(steps: list[str]) -> None:
    """Two steps that belong together."""
    steps.append("charged")
    await asyncio.sleep(0.01)
    steps.append("shipped")


async def protect_what_must_not_be_torn() -> None:
    """shield lets the caller be cancelled while the work inside goes on to its end."""
    steps: list[str] = []
    saving = asyncio.create_task(save_order(steps))

    async def request() -> None:
        await asyncio.shield(saving)

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    print(f"request cancelled: {task.cancelled()}, steps so far: {steps}")
    await saving
    print(f"steps in the end: {steps}")


async def cancel_a_whole_group() -> None:
    """Cancelling whoever waits for a group cancels all that is in it."""
    cleaned: list[str] = []

    async def member(name: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned.append(name)

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            for name in ("one", "two", "three"):
                tasks.create_task(member(name))

    task = asyncio.create_task(group())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    print(f"group cancelled: {task.cancelled()}, cleaned up: {sorted(cleaned)}")


async def main() -> None:
    """Show the three."""
    with tempfile.TemporaryDirectory() as folder:
        await give_up_a_download(Path(folder))
    await protect_what_must_not_be_torn()
    await cancel_a_whole_group()


if __name__ == "__main__":
    asyncio.run(main())
