"""The view `ferrio watch`: reports of blocked loops, as they come."""

import argparse
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ferrio._views import seconds
from ferrio.inspect._blocked import Flame, one_line, stack_text
from ferrio.inspect._client import Failed, connect, find, greeting_of
from ferrio.inspect._model import SCHEMA_VERSION, Block

# How often to connect again to a process that has forked in that moment.
_ATTEMPTS = 3

_LONGEST_LINE = 16 << 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the view."""
    parser.add_argument(
        "--flame", metavar="FILE", help="write the merged stacks: collapsed, or for speedscope if FILE ends in .json"
    )
    parser.add_argument("-d", "--duration", type=_duration, metavar="SECONDS", help="end after so many seconds")
    parser.add_argument("-n", "--count", type=int, metavar="N", help="end after so many blocks have ended")


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def lines(options: argparse.Namespace) -> Iterator[str]:
    """The reports of a process until it ends, or until the options say so."""
    path = find(options.process)
    # Whether there is anybody at all: later it may fork, or end.
    greeting_of(path)
    if options.flame is not None:
        _check_can_write(options.flame)
    flame, ended = Flame(), 0
    try:
        for report in _reports(path, options.duration):
            flame.add(report)
            ended += report["ended"]
            yield from [json.dumps(report)] if options.json else _shown(report)
            if ended == options.count:
                return
    except KeyboardInterrupt:
        pass
    finally:
        if options.flame is not None:
            Path(options.flame).write_text(flame.text(options.flame, f"blocked loops of {path.stem}"))


def _check_can_write(path: str) -> None:
    try:
        with open(path, "a"):
            pass
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None


def _shown(report: Block) -> Iterator[str]:
    """The whole at first and at the end, in between only where it is."""
    if report["samples"] > 1 and not report["ended"]:
        where = report["stack"][-1:]
        yield one_line(Block(**{**report, "stack": where}))
        return
    yield one_line(report)
    yield from (f"    {line}" for line in stack_text(report))


def _reports(path: Path, duration: float | None) -> Iterator[Block]:
    deadline = None if duration is None else time.monotonic() + duration
    attempts = 0
    while attempts < _ATTEMPTS:
        attempts += 1
        for line in _connection(path, deadline):
            decoded = _decoded(path, line)
            if "number" in decoded:
                attempts = 0
                yield decoded  # type: ignore[misc]
            elif decoded.get("schema") != SCHEMA_VERSION:
                known = f"this command knows {SCHEMA_VERSION}"
                raise Failed(f"the process answers in schema {decoded.get('schema')}, {known}")
        if (deadline is not None and time.monotonic() >= deadline) or not os.path.exists(path):
            return


def _decoded(path: Path, line: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(line)
    except ValueError:
        raise Failed(f"{path}: the answer is not understood") from None
    if not isinstance(decoded, dict) or decoded.get("error"):
        raise Failed(f"{path}: the process does not let itself be watched: another version of ferrio may run there")
    return decoded


def _connection(path: Path, deadline: float | None) -> Iterator[bytes]:
    """The lines of one connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        try:
            connect(connection, os.fspath(path))
            connection.sendall(b'"watch"\n')
            rest = b""
            while True:
                connection.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
                part = connection.recv(1 << 16)
                if not part or len(rest) > _LONGEST_LINE:
                    return
                *whole, rest = (rest + part).split(b"\n")
                yield from whole
        except TimeoutError:
            return
        except (ConnectionRefusedError, FileNotFoundError, ConnectionResetError, BrokenPipeError):
            return
        except OSError as error:
            raise Failed(f"{path}: {error.strerror or error}") from None
