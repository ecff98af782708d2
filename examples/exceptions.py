"""Exceptions: what becomes of an error in one of many tasks.

Shown here: `gather` with and without `return_exceptions`, `TaskGroup` with `except*`, and the loop's exception
handler, which gets the errors that nobody asked for.

The program imports measurements of weather stations. Some stations send nonsense.
"""

import asyncio
import gc
from typing import Any

STATIONS = {"north": "12.5", "east": "warm", "south": "19.0", "west": ""}


class NoDataError(Exception):
    """The station sent nothing."""


async def temperature(station: str) -> float:
    """Ask one station. The sleep stands for the network."""
    await asyncio.sleep(0.01)
    text = STATIONS[station]
    if not text:
        raise NoDataError(station)
    return float(text)


async def collect_everything() -> None:
    """return_exceptions=True: errors come back like results, in their places, and none is lost."""
    results = await asyncio.gather(*map(temperature, STATIONS), return_exceptions=True)
    for station, result in zip(STATIONS, results, strict=True):
        if isinstance(result, BaseException):
            print(f"  {station}: failed with {result!r}")
        else:
            print(f"  {station}: {result} degrees")


async def stop_at_the_first() -> None:
    """Without it the first error comes out of the await, while the other tasks go on: gather cancels nothing."""
    tasks = [asyncio.create_task(temperature(station)) for station in ("north", "east", "south")]
    slow = asyncio.create_task(asyncio.sleep(0.05, result="slow but fine"))
    try:
        await asyncio.gather(*tasks, slow)
    except ValueError as error:
        print(f"  stopped: {error}")
    print(f"  the others: {slow.done()=}, and later: {await slow}")


async def all_or_nothing() -> None:
    """A TaskGroup cancels the rest as soon as one fails, and raises all the errors together."""
    patient: asyncio.Task[None] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            patient = group.create_task(asyncio.sleep(3600))
            for station in STATIONS:
                group.create_task(temperature(station))
    # except* picks the errors of one kind out of the group. Several such blocks may run.
    except* ValueError as errors:
        print(f"  not a number: {[str(error) for error in errors.exceptions]}")
    except* NoDataError as errors:
        print(f"  no data from: {[str(error) for error in errors.exceptions]}")
    print(f"  the patient one was cancelled: {patient is not None and patient.cancelled()}")


async def nobody_asked() -> None:
    """An error in a task that is never awaited goes to the loop's exception handler when the task is thrown away.

    So does an error in a plain callback. Without a handler of one's own both are logged, and the loop goes on.
    """
    loop = asyncio.get_running_loop()

    def handler(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        print(f"  handler: {context['message'].split('(')[0].strip()}: {context['exception']!r}")

    loop.set_exception_handler(handler)
    task = asyncio.create_task(temperature("west"))
    await asyncio.wait([task])
    del task
    gc.collect()  # so that it happens now and not some time later

    loop.call_soon(int, "nonsense")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    print("  the loop is still running")


async def main() -> None:
    """Show the four."""
    print("collect everything:")
    await collect_everything()
    print("stop at the first:")
    await stop_at_the_first()
    print("all or nothing:")
    await all_or_nothing()
    print("nobody asked:")
    await nobody_asked()


if __name__ == "__main__":
    asyncio.run(main())
