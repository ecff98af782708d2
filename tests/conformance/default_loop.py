"""Makes every public way to asyncio's default loop lead to one factory.

The interpreter's tests reach the loop through policies, `asyncio.new_event_loop`, `asyncio.Runner`,
`asyncio.EventLoop` and `asyncio.SelectorEventLoop(selector)`. Policies are changed on their class, because
many tests reset the policy object; the classes get a stand-in.
"""

import asyncio
from asyncio import unix_events
from collections.abc import Callable
from typing import Any


def replace_default_loop(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    policy = unix_events.__dict__.get("_UnixDefaultEventLoopPolicy") or unix_events.__dict__["_DefaultEventLoopPolicy"]
    policy._loop_factory = staticmethod(factory)
    stand_in = _stand_in(factory)
    asyncio.SelectorEventLoop = stand_in
    if hasattr(asyncio, "EventLoop"):
        asyncio.EventLoop = stand_in


def _stand_in(factory):
    loop = factory()
    loop_class = type(loop)
    loop.close()

    metaclass: Any = type(loop_class)

    class StandIn(metaclass):
        def __call__(cls, *arguments, **keywords):
            if cls is not selector_event_loop:
                return super().__call__(*arguments, **keywords)
            return factory()  # the selector that the tests pass has no meaning for another implementation

        def __instancecheck__(cls, instance):
            if cls is not selector_event_loop:
                return super().__instancecheck__(instance)
            return isinstance(instance, loop_class)

    selector_event_loop = StandIn("SelectorEventLoop", (loop_class,), {})
    return selector_event_loop
