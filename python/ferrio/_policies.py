"""The event loop policy, for programs that choose their loop by one."""

import asyncio

from ferrio._ferrio import EventLoop

# Not asyncio.DefaultEventLoopPolicy: accessing that name warns from 3.14 on.
_DefaultEventLoopPolicy = asyncio.unix_events._UnixDefaultEventLoopPolicy


class EventLoopPolicy(_DefaultEventLoopPolicy):
    """asyncio's default policy, with its child watchers where the running Python has them, making ferrio loops.

    asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())
    """

    _loop_factory = EventLoop
