"""Counts the system calls of the servers' programs for each request, by strace.

    python -m benches.applications.system_calls [--only WORD] [--connections 1]

strace slows the server down, so that more requests wait for each poll than otherwise: at one connection that changes
nothing, and the figures are those of a request that comes alone.
"""

import argparse
import contextlib
import importlib.util
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter

from .__main__ import IMPLEMENTATIONS
from .measuring import line, started
from .programs import PROGRAMS

# What moves a request; the rest is added up.
SHOWN = ("epoll_wait", "recvfrom", "sendto", "sendmsg", "write", "read", "futex")
# A poller's call has another name where the C library or a language's runtime prefers it.
SAME = {
    "epoll_pwait": "epoll_wait",
    "epoll_pwait2": "epoll_wait",
    "recv": "recvfrom",
    "send": "sendto",
    "writev": "write",
}

ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)


def counted(name: str, implementation: str, seconds: float, connections: int) -> tuple[int, Counter[str]]:
    """The requests that a server has answered, and the system calls that all its threads have made meanwhile."""
    load = PROGRAMS[name].load
    with contextlib.ExitStack() as stack:
        summary = stack.enter_context(tempfile.NamedTemporaryFile("r", suffix=".strace"))
        program = stack.enter_context(started("benches.applications.running", name, implementation, core=0))
        asked = ("benches.applications.load", load, line(program)[0])
        with started(*asked, "0.5", str(connections), core=1) as warming:
            line(warming)
        command = ["strace", "--follow-forks", "--summary-only", "--output", summary.name, "--attach", str(program.pid)]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert strace.stderr
        strace.stderr.readline()  # It has attached.
        with started(*asked, str(seconds), str(connections), core=1) as client:
            requests = int(line(client)[0])
        strace.send_signal(signal.SIGINT)
        strace.communicate()
        calls: Counter[str] = Counter()
        for number, call in ROW.findall(summary.read()):
            if call != "total":
                calls[SAME.get(call, call)] += int(number)
        return requests, calls


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.applications.system_calls", description=__doc__)
    parser.add_argument("--only", action="append", metavar="WORD", help="programs whose name contains WORD; repeatable")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--connections", type=int, default=1)
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        parser.error("strace is not installed")
    print(f"{'system calls a request':<24}{'':<14}{'all':>8}", *(f"{call:>10}" for call in SHOWN), f"{'others':>10}")
    for name, program in PROGRAMS.items():
        if not program.load or not any(word in name for word in arguments.only or [""]):
            continue
        if any(importlib.util.find_spec(package) is None for package in program.needs):
            continue
        for implementation in IMPLEMENTATIONS:
            if importlib.util.find_spec(implementation.removesuffix("-loop")) is None:
                continue
            requests, calls = counted(name, implementation, arguments.seconds, arguments.connections)
            others = sum(number for call, number in calls.items() if call not in SHOWN)
            numbers = [sum(calls.values()), *(calls[call] for call in SHOWN), others]
            cells = [f"{number / requests:.1f}" for number in numbers]
            print(f"{name:<24}{implementation:<14}{cells[0]:>8}", *(f"{cell:>10}" for cell in cells[1:]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
