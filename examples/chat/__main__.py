"""The command line of the chat.

    python -m examples.chat                     200 clients talk to each other on asyncio's own loop
    python -m ferrio -m examples.chat           the same program, unchanged, on ferrio
    python -m examples.chat --serve 8888        only the server: connect with `nc localhost 8888`
    python -m examples.chat.compare             the party on asyncio, uvloop and ferrio, and how they compare

Exit status: 0 when every delivery was as it should be, 1 if not, 2 for a mistake on the command line, 130 after Ctrl-C.
"""

import argparse
import asyncio
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .clients import Party, hold
from .server import ChatServer

INTERRUPTED = 130
# A party that takes longer than that is stuck.
LIMIT = 300.0


def at_least(minimum: int) -> Callable[[str], int]:
    """A whole number from the command line that must not be too small."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be a whole number, at least {minimum}, not {text!r}")
        return int(text)

    return convert


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(prog="python -m examples.chat", description="A chat server and its clients.")
    add = parser.add_argument
    add("--clients", type=at_least(2), default=200, help="who talk to each other (default: %(default)s)")
    add("--lines", type=at_least(1), default=5, help="that each of them says (default: %(default)s)")
    add("--serve", type=at_least(1), metavar="PORT", help="only serve, there, until Ctrl-C")
    add("--loop", choices=["auto", "asyncio", "uvloop", "ferrio"], default="auto", help="which event loop")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop of that name. None leaves the choice to Python, or to `python -m ferrio`."""
    if name == "auto":
        return None
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(name).new_event_loop
    return factory


async def serve(port: int) -> None:
    """Run the server until it is cancelled."""
    async with await asyncio.start_server(ChatServer().handle, "127.0.0.1", port) as server:
        print(f"nc localhost {port}", flush=True)
        await server.serve_forever()


async def measure(party: Party) -> dict[str, Any]:
    """Run the server and all clients in this loop. The processor time is that of both."""
    chat = ChatServer()
    async with await asyncio.start_server(chat.handle, "127.0.0.1", 0, backlog=party.clients) as server:
        port = server.sockets[0].getsockname()[1]
        began, processor = time.perf_counter(), time.process_time()
        heard = await hold(party, port, LIMIT)
        await chat.until_nobody_is_left()
        cpu_seconds, seconds = time.process_time() - processor, time.perf_counter() - began
    loop = type(asyncio.get_running_loop())
    return {
        "loop": f"{loop.__module__}.{loop.__qualname__}",
        "deliveries": heard,
        "expected": party.deliveries,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "per_cpu_second": heard / cpu_seconds,
    }


def main(command_line: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    try:
        factory = loop_factory(arguments.loop)
    except ImportError as error:
        parser.error(f"argument --loop: {arguments.loop} cannot be used: {error}")
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            if arguments.serve:
                runner.run(serve(arguments.serve))
            figures = runner.run(measure(Party(arguments.clients, arguments.lines)))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    print(
        f"{arguments.clients} clients, {figures['deliveries']:,} deliveries, all in order: {figures['seconds']:.2f} s, "
        f"{figures['per_cpu_second']:,.0f} per CPU second, on {figures['loop']}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if figures["deliveries"] == figures["expected"] else 1


if __name__ == "__main__":
    sys.exit(main())
