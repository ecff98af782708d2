"""Servers, connections, child processes, jobs and timers as text: the views `io` and `timers`, and a line of `ps`."""

from collections.abc import Iterator

from ferrio.inspect._chains import Index
from ferrio.inspect._model import Snapshot
from ferrio.inspect._model_io import Child, Connection, Job, Server, Timer
from ferrio.inspect._printable import count, printable, table

# Units of bytes, and what is shown for what is not known.
_UNITS = ("B", "kB", "MB", "GB", "TB")
_UNKNOWN = "?"


def io(snapshot: Snapshot) -> Iterator[str]:
    """A table for each kind that there is."""
    index = Index(snapshot)
    tables = [
        ("servers", _SERVERS, [_server(each) for each in snapshot["servers"]]),
        ("connections", _CONNECTIONS, [_connection(each) for each in snapshot["connections"]]),
        ("children", _CHILDREN, [_child(each) for each in snapshot["children"]]),
        ("jobs", _JOBS, [_job(index, each) for each in snapshot["jobs"]]),
    ]
    is_first = True
    for name, heading, rows in tables:
        if not rows:
            continue
        if not is_first:
            yield ""
        is_first = False
        yield from table([heading, *rows])
        if left_off := snapshot["left_off"][name]:  # type: ignore[literal-required]
            yield f"… and {left_off} more"
    if is_first and not snapshot["partial"]:
        yield "no servers, connections, child processes or jobs of threads"


def timers(snapshot: Snapshot) -> Iterator[str]:
    """The timers, the soonest first."""
    index = Index(snapshot)
    threads = {loop["id"]: loop["thread_name"] or _UNKNOWN for loop in snapshot["loops"]}
    rows = [_timer(index, each, threads.get(each["loop"], _UNKNOWN)) for each in snapshot["timers"]]
    if rows:
        yield from table([_TIMERS, *rows])
        if left_off := snapshot["left_off"]["timers"]:
            yield f"… and {left_off} more, which are due later"
    elif not snapshot["partial"]:
        yield "no timers"


def summary(snapshot: Snapshot) -> str:
    """How many there are, in a line; empty if there is nothing."""
    left_off = snapshot["left_off"]
    connections = len(snapshot["connections"]) + left_off["connections"]
    paused = sum(bool(each["reading_paused"] or each["writing_paused"]) for each in snapshot["connections"])
    queued = sum(each["state"] == "queued" for each in snapshot["jobs"]) + left_off["jobs"]
    parts = [
        _counted(len(snapshot["servers"]) + left_off["servers"], "server"),
        _counted(connections, "connection", f"{paused} paused" if paused else ""),
        _counted(len(snapshot["children"]) + left_off["children"], "child process", plural="child processes"),
        _counted(len(snapshot["jobs"]) + left_off["jobs"], "job", f"{queued} queued" if queued else ""),
        _counted(len(snapshot["timers"]) + left_off["timers"], "timer"),
    ]
    return ", ".join(part for part in parts if part)


def connection_name(connection: Connection) -> str:
    """The ends of a connection, as far as they are known."""
    ends = [printable(each) for each in (connection["local"], connection["peer"]) if each is not None]
    return " -> ".join(ends) or f"{connection['kind']} of {short(connection['protocol'])}"


def child_name(child: Child) -> str:
    """Its number, program and state."""
    words = (_number(child["pid"]), None if child["program"] is None else f"({printable(child['program'])})")
    state = "" if child["state"] is None else f", {child['state']}"
    return " ".join(word for word in words if word) + state


def job_name(job: Job) -> str:
    """What a job calls, and for how long it runs or waits."""
    name = _UNKNOWN if job["function"] is None else printable(job["function"])
    lasts = job["running"] if job["state"] == "running" else job["waited"]
    return f"{name}, {job['state']}" + ("" if lasts is None else f" for {lasts:.1f} s")


_SERVERS = ("server", "listens at", "accepted", "open", "waiting", "backlog", "TLS")


def _server(each: Server) -> tuple[str, ...]:
    where = ", ".join(map(printable, each["addresses"])) or "closed"
    numbers = (_number(each["accepted"]), _number(each["open"]), _number(each["waiting"]), _number(each["backlog"]))
    return (each["id"], where, *numbers, "yes" if each["tls"] else "-")


_CONNECTIONS = ("connection", "local", "peer", "in", "out", "buffered", "state", "TLS", "protocol")


def _connection(each: Connection) -> tuple[str, ...]:
    tls = "-" if not each["tls"] else " ".join(part for part in (each["tls_version"], each["tls_cipher"]) if part)
    return (
        each["id"],
        "-" if each["local"] is None else printable(each["local"]),
        "-" if each["peer"] is None else printable(each["peer"]),
        size(each["received"]),
        size(each["sent"]),
        size(each["buffered"]),
        connection_state(each),
        tls or "yes",
        short(each["protocol"]),
    )


def connection_state(each: Connection) -> str:
    """Open or closing, and what is paused since when."""
    words: list[str] = [each["state"]]
    for paused, lasts, what in (
        (each["reading_paused"], each["reading_paused_for"], "reading"),
        (each["writing_paused"], each["writing_paused_for"], "writing"),
    ):
        if paused:
            words.append(f"{what} paused" + ("" if lasts is None else f" for {lasts:.1f} s"))
    return ", ".join(words)


_CHILDREN = ("pid", "program", "state", "age", "protocol")


def _child(each: Child) -> tuple[str, ...]:
    state = each["state"] or _UNKNOWN
    if each["returncode"] is not None:
        state += f" with {each['returncode']}"
    program = _UNKNOWN if each["program"] is None else printable(each["program"])
    return (_number(each["pid"]), program, state, _seconds(each["age"]), short(each["protocol"]))


_JOBS = ("job", "function", "state", "waited", "runs for", "thread", "task")


def _job(index: Index, each: Job) -> tuple[str, ...]:
    task = index.tasks.get(each["task"] or "")
    return (
        each["id"],
        place(each),
        each["state"],
        _seconds(each["waited"]),
        _seconds(each["running"]) if each["state"] == "running" else "-",
        "-" if each["thread_name"] is None else printable(each["thread_name"]),
        "-" if task is None else printable(task["name"]),
    )


_TIMERS = ("timer", "due in", "for", "task", "calls", "thread of its loop")


def _timer(index: Index, each: Timer, thread: str) -> tuple[str, ...]:
    task = index.tasks.get(each["task"] or "")
    unnamed = _UNKNOWN if each["task"] is None and each["kind"] != "callback" else "-"
    return (
        each["id"],
        due(each),
        each["kind"],
        unnamed if task is None else printable(task["name"]),
        place(each) if each["kind"] == "callback" else "-",
        printable(thread),
    )


def due(each: Timer) -> str:
    """When a timer is due."""
    if each["due"] is None:
        return "never"
    return f"{each['due']:.1f} s" if each["due"] >= 0 else f"now, {-each['due']:.1f} s late"


def place(each: Job | Timer) -> str:
    """What a job or a timer calls, and where that is."""
    function = _UNKNOWN if each["function"] is None else printable(each["function"])
    return function if each["file"] is None else f"{function} ({printable(each['file'])}:{each['line']})"


def size(number: int | None) -> str:
    """A number of bytes in a unit that suits it."""
    if number is None:
        return _UNKNOWN
    value, place = float(number), 0
    while value >= 1000 and place < len(_UNITS) - 1:
        value, place = value / 1000, place + 1
    return f"{number} B" if place == 0 else f"{value:.1f} {_UNITS[place]}"


def _counted(number: int, what: str, more: str = "", plural: str | None = None) -> str:
    if not number:
        return ""
    text = f"{number} {plural}" if plural is not None and number != 1 else count(number, what)
    return f"{text} ({more})" if more else text


def _number(number: int | None) -> str:
    return _UNKNOWN if number is None else str(number)


def _seconds(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds:.1f} s"


def short(name: str | None) -> str:
    """A class without its module."""
    return "-" if name is None else printable(name.rpartition(".")[2])
