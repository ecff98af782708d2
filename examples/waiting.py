"""Waiting for some of many: `asyncio.wait` and `asyncio.as_completed`.

Shown here: the first result wins, stopping at the first failure, waiting for as long as there is time, and taking
results in the order they come. Unlike gather, `wait` never raises what the tasks raised: it hands the tasks back.

The program downloads a file that lies on several mirrors.
"""

import asyncio
from collections.abc import Iterable


async def download(mirror: str, seconds: float, *, broken: bool = False) -> str:
    """Fetch the file from one mirror. The sleep stands for the network."""
    await asyncio.sleep(seconds)
    if broken:
        raise ConnectionResetError(f"{mirror} hung up")
    return f"file from {mirror}"


def start(*plan: tuple[str, float, bool]) -> set[asyncio.Task[str]]:
    """Start one named task per mirror."""
    return {
        asyncio.create_task(download(mirror, seconds, broken=broken), name=mirror) for mirror, seconds, broken in plan
    }


def names(tasks: Iterable[asyncio.Task[str]]) -> str:
    """The names of some tasks. `wait` answers with sets, so an order has to be given to them."""
    return ", ".join(sorted(task.get_name() for task in tasks)) or "none"


async def cancel(tasks: Iterable[asyncio.Task[str]]) -> None:
    """Stop tasks that are no longer wanted, and wait until they have stopped."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def first_one_wins() -> None:
    """Ask all mirrors, keep the first answer, drop the rest."""
    tasks = start(("oslo", 0.2, False), ("lima", 0.02, False), ("pune", 0.3, False))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    print(f"first one wins: {done.pop().result()}; still running: {names(pending)}")
    await cancel(pending)


async def stop_at_a_failure() -> None:
    """Go on until all are there or one has failed."""
    tasks = start(("oslo", 0.02, False), ("lima", 0.06, True), ("pune", 0.3, False))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    # Asking a task for its exception also marks the failure as seen.
    failures = [str(error) for task in done if (error := task.exception())]
    print(f"stop at a failure: done {names(done)}; failures {failures}; still running: {names(pending)}")
    await cancel(pending)


async def as_much_as_fits() -> None:
    """Take what is there when the time is up. `wait` does not cancel the rest: that is the caller's choice."""
    tasks = start(("oslo", 0.01, False), ("lima", 0.02, False), ("pune", 0.5, False))
    done, pending = await asyncio.wait(tasks, timeout=0.2)
    print(f"as much as fits: done {names(done)}; late: {names(pending)}")
    await cancel(pending)
    print(f"after the cancel: {[task.cancelled() for task in pending]}")


async def in_order_of_arrival() -> None:
    """Work on each result as soon as it comes."""
    for next_result in asyncio.as_completed(start(("oslo", 0.09, False), ("lima", 0.03, False), ("pune", 0.06, True))):
        try:
            print(f"in order of arrival: {await next_result}")
        except ConnectionResetError as error:
            print(f"in order of arrival: failed, {error}")


async def main() -> None:
    """Show the four ways of waiting."""
    await first_one_wins()
    await stop_at_a_failure()
    await as_much_as_fits()
    await in_order_of_arrival()


if __name__ == "__main__":
    asyncio.run(main())
