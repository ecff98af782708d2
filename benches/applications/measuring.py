"""One measurement: the program in one process, its peer in another, and the program's processor time."""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

from . import peers
from .programs import PROGRAMS

TICK = os.sysconf("SC_CLK_TCK")


class Unavailable(Exception):
    """A package or a server that a program needs is not installed."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """`operations` took `seconds` of elapsed time, and `processor` seconds of the measured program's processor time.

    A server's figure has its latencies in seconds: the 99th percentile, and the median until the first byte.
    """

    operations: int
    seconds: float
    processor: float
    latency: float | None = None
    first_byte: float | None = None

    def by_clock(self) -> float:
        return self.operations / self.seconds

    def by_processor(self) -> float:
        return self.operations / self.processor


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have spent in user and system mode so far, as Linux accounts for them."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@contextlib.contextmanager
def started(*command: str, core: int) -> Iterator[subprocess.Popen[str]]:
    """Starts a module of this package in a fresh interpreter, on its own core if there are several."""
    cores = sorted(os.sched_getaffinity(0))
    mine = {cores[core % len(cores)]}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, mine),
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout
        process.stdout.close()


def line(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that a process prints; raises an error if it ends before printing one."""
    assert process.stdout
    words = process.stdout.readline().split()
    if not words:
        raise RuntimeError(f"{process.args!r} ended with {process.wait()}")
    return words


def of_server(name: str, implementation: str, load: str, seconds: float, connections: int) -> Figure:
    """The program is the server; another process sends requests."""

    def asking(duration: float) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        return started("benches.applications.load", load, port, str(duration), str(connections), core=1)

    with started("benches.applications.running", name, implementation, core=0) as program:
        port = line(program)[0]
        with asking(0.5) as warming:
            line(warming)
        before = processor_time(program.pid)
        with asking(seconds) as client:
            operations, took, latency, first_byte = line(client)
        processor = processor_time(program.pid) - before
        return Figure(int(operations), float(took), processor, float(latency), float(first_byte))


def of_client(name: str, implementation: str, peer: str, seconds: float) -> Figure:
    """The program is the client of a peer, and prints its own figures."""
    peer_of_its_own = contextlib.nullcontext(implementation)
    with (
        peer_of_its_own if peer == "child" else peers.PEERS[peer]() as address,
        started("benches.applications.running", name, implementation, address, str(seconds), core=0) as program,
    ):
        operations, took, processor = line(program)
        return Figure(int(operations), float(took), float(processor))


def measured(name: str, implementation: str, seconds: float, connections: int) -> Figure:
    program = PROGRAMS[name]
    for package in program.needs:
        if importlib.util.find_spec(package) is None:
            raise Unavailable(f"package {package} is not installed")
    if program.load:
        return of_server(name, implementation, program.load, seconds, connections)
    if (missing := peers.missing(program.peer)) is not None:
        raise Unavailable(f"{missing} is not installed")
    return of_client(name, implementation, program.peer, seconds)
