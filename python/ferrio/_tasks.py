"""Where asyncio of 3.14 looks up who waits for what."""

import asyncio
import sys

if sys.version_info >= (3, 14):
    # gather(), wait() and their like tell asyncio who waits for what, for call graphs. Its functions take only its own
    # futures; those of a ferrio loop are ours with and without install(), so this holds from the import on.
    from ferrio._ferrio import future_add_to_awaited_by, future_discard_from_awaited_by

    for _module in (asyncio, asyncio.futures):
        for _prefix in ("", "_c_"):
            if hasattr(_module, _prefix + "future_add_to_awaited_by"):
                setattr(_module, _prefix + "future_add_to_awaited_by", future_add_to_awaited_by)
                setattr(_module, _prefix + "future_discard_from_awaited_by", future_discard_from_awaited_by)
