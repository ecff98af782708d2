"""Runs a program or module with ferrio's loop as asyncio's default loop, and all else asyncio's own.

    python -m tests.interop.loop_mode FILE ARGS...
    python -m tests.interop.loop_mode -m MODULE ARGS...

Tasks, futures, locks, streams and the functions are stock here: what the loop must carry when others bring theirs.
"""

import asyncio
import os
import runpy
import sys
from typing import Any

import ferrio


def main(arguments: list[str]) -> None:
    # On the class, as programs may reset the policy object; setting a policy warns from 3.14 on.
    policy: Any = asyncio.unix_events.__dict__["_UnixDefaultEventLoopPolicy"]
    policy._loop_factory = ferrio.EventLoop
    if hasattr(asyncio, "EventLoop"):  # from 3.13 on
        asyncio.EventLoop = ferrio.EventLoop
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
