"""Connections, servers, child processes and jobs as metrics: what exists is counted when it is asked for."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from ferrio import _ferrio
from ferrio._ferrio import _connection_totals, _server_of
from ferrio.inspect import _lint_watch
from ferrio.inspect._connections import described
from ferrio.inspect._descriptors import children_of_pipes, kind_of_transport, watched_by
from ferrio.inspect._jobs import jobs
from ferrio.inspect._metrics import DEFINITIONS, SOURCES, Measurement, thread_of
from ferrio.inspect._model import Lint
from ferrio.inspect._objects import mro_of
from ferrio.inspect._registry import running_loops

_KIND = "ferrio.connection.kind"
_DIRECTION = "ferrio.connection.direction"
_STATE = "ferrio.executor.state"
_LINT = "ferrio.lint.kind"

DEFINITIONS |= {
    "ferrio.connection.count": ("gauge", "{connection}", "Connections and pipes whose descriptors the loop watches."),
    "ferrio.connection.buffered": ("gauge", "By", "Bytes that were written and the system has not taken yet."),
    "ferrio.connection.paused": ("gauge", "{connection}", "Stream connections whose reading or writing is paused."),
    "ferrio.server.count": ("gauge", "{server}", "Servers that listen."),
    "ferrio.child.count": ("gauge", "{process}", "Child processes that have not ended."),
    "ferrio.lint.count": ("gauge", "{lint}", "Lints of the last look of start(lints=...), by kind."),
    "ferrio.queue.count": ("gauge", "{queue}", "Queues that the last look of start(lints=...) has seen."),
    "ferrio.queue.length": ("gauge", "{entry}", "Entries of those queues together."),
    "ferrio.queue.longest": ("gauge", "{entry}", "Entries of the longest of them."),
    "ferrio.executor.jobs": ("gauge", "{job}", "Jobs of all thread pools, by state; running ones as far as seen."),
}


def _of_loops() -> Iterator[Measurement]:
    for owner in {id(each): each for each in running_loops()}.values():
        where = thread_of(owner)
        if _ferrio.EventLoop in mro_of(type(owner)):
            streams, buffered, reading, writing, others = _connection_totals(owner)
            others = [_server_of(each) or each for each in others]
            others += children_of_pipes(others)
        else:
            others = list({id(each): each for each in watched_by(owner)}.values())
            records = [described(each) for each in others if kind_of_transport(each) == "stream"]
            known = [each for each in records if each is not None]
            streams, buffered = len(known), sum(each["buffered"] or 0 for each in known)
            reading = sum(bool(each["reading_paused"]) for each in known)
            writing = sum(bool(each["writing_paused"]) for each in known)
        distinct: dict[int, Any] = {id(each): each for each in others}
        kinds = Counter(kind_of_transport(each) for each in distinct.values())
        for kind, count in (("stream", streams), ("datagram", kinds["datagram"]), ("pipe", kinds["pipe"])):
            yield Measurement("ferrio.connection.count", count, (where, (_KIND, kind)))
        yield Measurement("ferrio.connection.buffered", buffered, (where,))
        yield Measurement("ferrio.connection.paused", reading, (where, (_DIRECTION, "read")))
        yield Measurement("ferrio.connection.paused", writing, (where, (_DIRECTION, "write")))
        yield Measurement("ferrio.server.count", kinds["server"], (where,))
        yield Measurement("ferrio.child.count", kinds["child"], (where,))


def _of_lints() -> Iterator[Measurement]:
    # Only if a thread looks for them anyway.
    latest = _lint_watch.latest()
    if latest is not None:
        counts = Counter(each["kind"] for each in latest)
        for kind in get_args(get_type_hints(Lint)["kind"]):
            yield Measurement("ferrio.lint.count", counts[kind], ((_LINT, kind.replace(" ", "_")),))
    lengths = _lint_watch.queue_lengths()
    if lengths is not None:
        yield Measurement("ferrio.queue.count", len(lengths))
        yield Measurement("ferrio.queue.length", sum(lengths))
        yield Measurement("ferrio.queue.longest", max(lengths, default=0))


def _of_executors() -> Iterator[Measurement]:
    states = Counter(each.state for each in jobs())
    for state in ("queued", "running"):
        yield Measurement("ferrio.executor.jobs", states[state], ((_STATE, state),))


SOURCES.extend((_of_loops, _of_executors, _of_lints))
