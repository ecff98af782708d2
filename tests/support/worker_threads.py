"""What tests of the default executor's jobs call."""

import asyncio
import threading

import ferrio


def to_thread(function, /, *arguments, **keywords):
    """Calls `to_thread` of the implementation whose loop runs."""
    own = isinstance(asyncio.get_running_loop(), ferrio.EventLoop)
    return (ferrio if own else asyncio).to_thread(function, *arguments, **keywords)


def thread_name():
    """The name of the calling thread."""
    return threading.current_thread().name
