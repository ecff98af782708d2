"""Replaces the functions by which asyncio of 3.14 records who waits for what."""

import asyncio
import sys

if sys.version_info >= (3, 14):
    # gather(), wait() and similar functions record who waits for what, for call graphs. asyncio's functions accept only
    # its own futures; a ferrio loop creates ferrio's, with and without install(), so this happens on import.
    from ferrio._ferrio import future_add_to_awaited_by, future_discard_from_awaited_by

    for _module in (asyncio, asyncio.futures):
        for _prefix in ("", "_c_"):
            if hasattr(_module, _prefix + "future_add_to_awaited_by"):
                setattr(_module, _prefix + "future_add_to_awaited_by", future_add_to_awaited_by)
                setattr(_module, _prefix + "future_discard_from_awaited_by", future_discard_from_awaited_by)
