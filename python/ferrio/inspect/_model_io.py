"""What a snapshot holds of connections, servers, child processes, the jobs of threads and timers.

As everywhere in a snapshot, `null` (None) means "unknown".
"""

from typing import Literal, TypedDict


class Connection(TypedDict):
    """A transport whose descriptor a loop watches."""

    # That of the transport which the program has: with TLS, the upper one.
    id: str
    kind: Literal["stream", "datagram", "pipe"]
    type: str
    loop: str
    descriptor: int | None
    # `host:port`, a path, or `@name`; None also for a socket without a name.
    local: str | None
    peer: str | None
    # The class of the protocol.
    protocol: str | None
    # The server in `servers` that has accepted it.
    server: str | None
    state: Literal["open", "closing"]
    # Bytes, as the system has counted them for TCP: with TLS, encrypted ones.
    received: int | None
    sent: int | None
    # Bytes that were written and the system has not taken yet.
    buffered: int | None
    # Whether the program has paused reading, and whether the protocol was told to write no more.
    reading_paused: bool | None
    writing_paused: bool | None
    # For how long, in seconds; None also while it is not paused, and if it was paused before inspection began.
    reading_paused_for: float | None
    writing_paused_for: float | None
    # Version and cipher are known after the handshake.
    tls: bool
    tls_version: str | None
    tls_cipher: str | None


class Server(TypedDict):
    """A server that listens, or has connections still."""

    id: str
    type: str
    loop: str
    # Where it listens; empty once it is closed.
    addresses: list[str]
    serving: bool | None
    tls: bool
    # Connections that it has accepted, and those of them that are open.
    accepted: int | None
    open: int | None
    # Connections that wait to be accepted, and how many may: the sum of its sockets. As the program asked, if the
    # system does not tell.
    waiting: int | None
    backlog: int | None


class Child(TypedDict):
    """A child process that asyncio's functions have started."""

    id: str
    loop: str
    pid: int | None
    # The last part of the program's name. Arguments are never shown.
    program: str | None
    state: Literal["running", "sleeping", "stopped", "ended"] | None
    # The exit code, or the negated signal; None while it runs.
    returncode: int | None
    # Seconds since the system has started it.
    age: float | None
    # The class of the protocol.
    protocol: str | None


class Job(TypedDict):
    """A call in a thread of an executor, or one that waits for a thread."""

    id: str
    state: Literal["queued", "running"]
    # The name of the function, and where it is; None for what is no plain function, whose type is named then.
    function: str | None
    file: str | None
    line: int | None
    # What the names of the executor's threads begin with: "asyncio" for the default one.
    executor: str | None
    thread: int | None
    thread_name: str | None
    # The loop and the task that wait for it.
    loop: str | None
    task: str | None
    # In seconds: until it began, or up to now; and since it began.
    waited: float | None
    running: float | None


class Timer(TypedDict):
    """A call that a loop will make, and that is not cancelled."""

    id: str
    loop: str
    # It ends a sleep, it ends the wait of a timeout around what a task does, or it makes a call of the program's.
    kind: Literal["sleep", "timeout", "callback"]
    # Seconds from the snapshot, below 0 if it is late; None for never.
    due: float | None
    # The name of the function that is called, and where it is; None for sleeps and timeouts. Of what is no plain
    # function the type is named.
    function: str | None
    file: str | None
    line: int | None
    # The task that sleeps, or that the timeout is about.
    task: str | None


class LeftOff(TypedDict):
    """How many entries of long lists are left off."""

    connections: int
    servers: int
    children: int
    jobs: int
    # The soonest ones are shown.
    timers: int
