"""What loops watch: the transports, servers and child processes behind their descriptors.

ferrio's loop tells it by its registrations. asyncio's own loop has its transports in a weak dictionary, and handles in
the map of its selector. Of other loops nothing is known.
"""

import asyncio
from types import MethodType
from typing import Any

from ferrio import _ferrio
from ferrio._ferrio import _server_of, _watched_by
from ferrio.inspect._objects import attribute, class_name, copied, mro_of

# The kinds of transports, by the names of their classes.
KINDS = {
    "ferrio.SocketTransport": "stream",
    "asyncio.selector_events._SelectorSocketTransport": "stream",
    "ferrio._SelectorDatagramTransport": "datagram",
    "asyncio.selector_events._SelectorDatagramTransport": "datagram",
    "ferrio.ReadPipeTransport": "pipe",
    "ferrio.WritePipeTransport": "pipe",
    "asyncio.unix_events._UnixReadPipeTransport": "pipe",
    "asyncio.unix_events._UnixWritePipeTransport": "pipe",
    "ferrio.SubprocessTransport": "child",
    "asyncio.base_subprocess.BaseSubprocessTransport": "child",
}

_SERVERS = {"asyncio.base_events.Server"}
_PIPE_PROTOCOLS = {
    "asyncio.base_subprocess.WriteSubprocessPipeProto",
    "asyncio.base_subprocess.ReadSubprocessPipeProto",
}


def watched_by(owner: Any) -> list[Any]:
    """The transports, servers and child processes that a loop watches; some of them more than once."""
    if _ferrio.EventLoop in mro_of(type(owner)):
        found = [_server_of(each) or each for each in _watched_by(owner)]
    elif asyncio.selector_events.BaseSelectorEventLoop in mro_of(type(owner)):
        found = _watched_by_selector(owner)
    else:
        return []
    return [*found, *children_of_pipes(found)]


def kind_of_transport(thing: object) -> str | None:
    """ "stream", "datagram", "pipe", "child" or "server"; None for other things."""
    for kind in mro_of(type(thing)):
        name = class_name(kind)
        if name in KINDS:
            return KINDS[name]
        if name in _SERVERS or name == "ferrio.Server":
            return "server"
    return None


def children_of_pipes(found: list[Any]) -> list[Any]:
    """The child processes to whose standard streams pipes lead."""
    protocols = [attribute(each, "_protocol") for each in found if kind_of_transport(each) == "pipe"]
    children = [
        attribute(each, "proc")
        for each in protocols
        if any(class_name(kind) in _PIPE_PROTOCOLS for kind in mro_of(type(each)))
    ]
    return [each for each in children if each is not None]


def _watched_by_selector(owner: Any) -> list[Any]:
    references = attribute(attribute(owner, "_transports"), "data")
    found = [reference() for reference in copied(references.values())] if type(references) is dict else []
    keys = attribute(attribute(owner, "_selector"), "_fd_to_key")
    for key in copied(keys.values()) if type(keys) is dict else ():
        data = attribute(key, "data")
        for handle in data if type(data) is tuple else ():
            found += _known_by(handle)
    return [each for each in found if each is not None]


def _known_by(handle: Any) -> list[Any]:
    """What a handle leads to: a pipe's method, an accepting function's server, a watched child's transport."""
    callback, arguments = attribute(handle, "_callback"), attribute(handle, "_args")
    found = [callback.__self__] if type(callback) is MethodType else []
    for each in arguments if type(arguments) is tuple else ():
        # A watcher of children calls a function with arguments of its own.
        found += each if type(each) is tuple else [each]
    return [each for each in found if kind_of_transport(each) is not None]
