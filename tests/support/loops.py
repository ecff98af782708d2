"""The loops that tests run on, and how to close one that may still have work."""

import asyncio
from collections.abc import Callable

import ferrio

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "stock": asyncio.SelectorEventLoop,
    "ferrio": ferrio.new_event_loop,
}


def close(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
