"""Runs a coroutine from start to end on a ferrio loop; asyncio's Runner does the work."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ferrio._ferrio import new_event_loop

_T = TypeVar("_T")


def run(
    main: Coroutine[Any, Any, _T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _T:
    """Run the coroutine on a new ferrio loop and return its result.

    Like asyncio.run, on every Python: `debug` sets the loop's debug mode, `loop_factory` makes another loop than
    ferrio's. Asynchronous generators, leftover tasks and the default executor are shut down at the end.
    """
    if asyncio._get_running_loop() is not None:
        # Before the Runner makes a loop of its own; the text is asyncio's.
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop if loop_factory is None else loop_factory) as runner:
        return runner.run(main)
