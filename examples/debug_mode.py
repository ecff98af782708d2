"""Debug mode: the loop reports what goes wrong, and shows what is going on.

Shown here: `current_task` and `all_tasks`, `get_stack` for the place where a task waits, and what debug mode reports:
callbacks that take too long, calls from the wrong thread, coroutines that nobody awaited.

Turn it on with `asyncio.run(..., debug=True)`, with PYTHONASYNCIODEBUG=1, or with `python -X dev`. The program is a
kitchen in which several things go wrong.
"""

import asyncio
import logging
import re
import sys
import time
import warnings


async def cook(dish: str, seconds: float) -> str:
    """Cook properly: wait without holding up the others."""
    await asyncio.sleep(seconds)
    return dish


async def cook_badly() -> None:
    """time.sleep holds up the whole kitchen."""
    time.sleep(0.3)


def list_tasks() -> None:
    """Print every task of this loop that is not finished, and the line of code where each one waits."""
    current = asyncio.current_task()
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        frame = task.get_stack(limit=1)[0]
        here = "  <- this one" if task is current else ""
        print(f"  {task.get_name()} in {frame.f_code.co_name}{here}")


def report(record: logging.LogRecord) -> bool:
    """Print the first words of what the loop logs; the rest is about paths and lines on this machine."""
    message = record.getMessage()
    if slow := re.fullmatch(r"Executing <Task .* name='(.*?)' .*> (took .*)", message):
        message = "Executing task {} {}".format(*slow.groups())
    print(f"  {record.levelname} from {record.name}: {message}")
    return False


def call_from_another_thread(loop: asyncio.AbstractEventLoop) -> str:
    """Only call_soon_threadsafe may be used from other threads. Debug mode notices; without it nothing would."""
    try:
        loop.call_soon(print, "never")
    except RuntimeError as error:
        return str(error)
    return "not noticed"


async def main() -> None:
    """Look around, then make the three mistakes."""
    loop = asyncio.get_running_loop()
    print(f"debug mode: {loop.get_debug()}")
    loop.slow_callback_duration = 0.25  # what counts as slow; a tenth of a second unless it is set

    task = asyncio.current_task()
    assert task is not None
    task.set_name("chef")
    print(f"the current task: {task.get_name()}")

    print("all tasks:")
    dishes = [
        asyncio.create_task(cook("soup", 0.02), name="soup"),
        asyncio.create_task(cook("roast", 0.04), name="roast"),
    ]
    await asyncio.sleep(0)
    list_tasks()
    print(f"served: {await asyncio.gather(*dishes)}")
    print(f"tasks left: {[task.get_name() for task in asyncio.all_tasks()]}")

    print("a slow step:")
    await asyncio.create_task(cook_badly(), name="bad cook")

    print("a call from the wrong thread:")
    print(f"  {await asyncio.to_thread(call_from_another_thread, loop)}")

    print("a forgotten await:")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cook("salad", 0.01)  # type: ignore[unused-coroutine]  # the await is missing
        print(f"  {str(caught[0].message).splitlines()[0]}")
        print(f"  says where it was made: {'debug_mode.py' in str(caught[0].message)}")


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout)
    logging.getLogger("asyncio").addFilter(report)
    asyncio.run(main(), debug=True)
