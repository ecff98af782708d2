"""The tables of connections, servers, child processes, jobs, timers and lints: their columns, and their rows."""

from collections.abc import Callable
from typing import Any

from ferrio.inspect import _text
from ferrio.inspect._chains import Index
from ferrio.inspect._model import Lint
from ferrio.inspect._model_io import Child, Connection, Job, Server, Timer
from ferrio.inspect._text_io import connection_state, place, short

Row = dict[str, Any]

# Name, title, kind and what it tells.
Columns = tuple[tuple[str, str, str, str], ...]

_CONNECTIONS: Columns = (
    ("local", "Local", "address", "Its own address"),
    ("peer", "Peer", "address", "The address of the other end"),
    ("state", "State", "phrase", "Open or closing, and whether reading or writing is paused, since when"),
    ("received", "In", "bytes", "Bytes received, as the system has counted them; encrypted ones with TLS"),
    ("sent", "Out", "bytes", "Bytes sent, as the system has counted them"),
    ("buffered", "Buffered", "bytes", "Bytes that were written and the system has not taken yet"),
    ("tls", "TLS", "word", "Its version and cipher"),
    ("protocol", "Protocol", "text", "The class of the protocol"),
    ("kind", "Kind", "word", "Stream, datagram or pipe"),
    ("id", "Object", "identifier", "The address of its transport"),
)


def _connection(_: Index, each: Connection) -> Row:
    tls = " ".join(part for part in (each["tls_version"], each["tls_cipher"]) if part) or "yes"
    return {
        "local": each["local"] and _text.printable(each["local"]),
        "peer": each["peer"] and _text.printable(each["peer"]),
        "state": connection_state(each),
        "received": each["received"],
        "sent": each["sent"],
        "buffered": each["buffered"],
        "tls": tls if each["tls"] else None,
        "protocol": short(each["protocol"]),
        "kind": each["kind"],
        "id": each["id"],
    }


_SERVERS: Columns = (
    ("addresses", "Listens at", "address", "Its addresses; none once it is closed"),
    ("accepted", "Accepted", "number", "Connections that it has accepted"),
    ("open", "Open", "number", "Those of them that are open"),
    ("waiting", "Waiting", "number", "Connections that wait in the system to be accepted"),
    ("backlog", "Backlog", "number", "How many may wait"),
    ("tls", "TLS", "word", "Whether its connections are encrypted"),
    ("id", "Object", "identifier", "Its address in memory"),
)


def _server(_: Index, each: Server) -> Row:
    return {
        "addresses": ", ".join(map(_text.printable, each["addresses"])) or "closed",
        "accepted": each["accepted"],
        "open": each["open"],
        "waiting": each["waiting"],
        "backlog": each["backlog"],
        "tls": "yes" if each["tls"] else "no",
        "id": each["id"],
    }


_CHILDREN: Columns = (
    ("pid", "Process", "process", "Its number"),
    ("program", "Program", "text", "The last part of its name; arguments are never shown"),
    ("state", "State", "word", "As the system knows it"),
    ("returncode", "Exit code", "number", "Or the negated signal; unknown while it runs"),
    ("age", "Age", "seconds", "Since the system has started it"),
    ("protocol", "Protocol", "text", "The class of the protocol"),
)


def _child(_: Index, each: Child) -> Row:
    return {
        "pid": each["pid"],
        "program": each["program"] and _text.printable(each["program"]),
        "state": each["state"],
        "returncode": each["returncode"],
        "age": each["age"],
        "protocol": short(each["protocol"]),
    }


_JOBS: Columns = (
    ("function", "Function", "text", "What is called"),
    ("state", "State", "word", "Queued or running"),
    ("waited", "Waited", "seconds", "Until a thread took it, or up to now"),
    ("running", "Runs for", "seconds", "Since a thread took it"),
    ("thread", "Thread", "text", "The name of the thread"),
    ("task", "Task", "text", "The task that waits for it"),
    ("where", "Where", "place", "Where the function is"),
)


def _job(index: Index, each: Job) -> Row:
    task = index.tasks.get(each["task"] or "")
    return {
        "function": each["function"] and _text.printable(each["function"]),
        "state": each["state"],
        "waited": each["waited"],
        "running": each["running"],
        "thread": _text.printable(each["thread_name"] or each["executor"] or ""),
        "task": None if task is None else _text.printable(task["name"]),
        "where": place(each),
    }


_TIMERS: Columns = (
    ("due", "Due in", "seconds", "Below zero if it is late"),
    ("kind", "For", "word", "It ends a sleep or a timeout, or makes a call of the program's"),
    ("task", "Task", "text", "The task that sleeps, or that the timeout is about"),
    ("where", "Calls", "place", "The function that is called, and where it is"),
    ("id", "Object", "identifier", "Its address in memory"),
)


def _timer(index: Index, each: Timer) -> Row:
    task = index.tasks.get(each["task"] or "")
    return {
        "due": each["due"],
        "kind": each["kind"],
        "task": None if task is None else _text.printable(task["name"]),
        "where": place(each) if each["kind"] == "callback" else None,
        "id": each["id"],
    }


_LINTS: Columns = (
    ("kind", "Kind", "text", "What is wrong"),
    ("text", "What was seen", "sentence", "In one sentence"),
    ("tasks", "Tasks", "number", "How many tasks it is about"),
    ("lasts", "Lasts", "seconds", "For how long"),
    ("where", "Where", "place", "Where the tasks were created, or where the one stands that has to let go"),
)


def _lint(_: Index, each: Lint) -> Row:
    return {
        "kind": each["kind"],
        "text": _text.printable(each["text"]),
        "tasks": each["tasks_total"],
        "lasts": each["lasts"],
        "where": None if each["where"] is None else _text.place(each["where"]),
    }


TABLES: dict[str, tuple[Columns, Callable[[Index, Any], Row]]] = {
    "connections": (_CONNECTIONS, _connection),
    "servers": (_SERVERS, _server),
    "children": (_CHILDREN, _child),
    "jobs": (_JOBS, _job),
    "timers": (_TIMERS, _timer),
    "lints": (_LINTS, _lint),
}
