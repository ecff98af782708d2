"""The command `ferrio console`: looks at a process and serves the page until Ctrl-C."""

import argparse
import contextlib
import json
import os
import secrets
import sys
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from ferrio.inspect._client import Failed, find, greeting_of
from ferrio.inspect._console._observed import Observed
from ferrio.inspect._console._server import Server
from ferrio.inspect._socket import Unsafe, make_own_directory


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise ValueError(text)
    return value


def _interval(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise ValueError(text)
    return value


# How long, in seconds, what is being said at the end is waited for.
_PATIENCE = 5.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the view."""
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="to listen on (default: any that is free)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="to listen on (default: 127.0.0.1; others are not private)",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS", help="between looks (default: 1; at least 0.1)"
    )


def lines(options: argparse.Namespace) -> Iterator[str]:
    """Serves; yields the address as soon as it can be opened."""
    path = find(options.process)
    observed = Observed(path, greeting_of(path), options.interval)
    server = _server(options, observed)
    says = threading.Thread(target=_say_the_end, args=(observed,), name="ferrio-console-end", daemon=True)
    try:
        observed.start()
        address = f"http://{_shown_host(options.host)}:{server.server_port}/#{server.access.token}"
        if options.json:
            yield json.dumps({"address": address, "pid": observed.hello["pid"]})
        else:
            yield f"The console of process {observed.hello['pid']} is at"
            yield f"    {address}"
            yield "Ctrl-C ends it."
        with contextlib.nullcontext() if options.no_browser or options.json else _browser(address):
            says.start()
            # In this thread, which Ctrl-C interrupts.
            server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        observed.close()
        server.server_close()
        # What the page was told is said here too, though Ctrl-C came right after it.
        if says.ident is not None:
            says.join(_PATIENCE)


def _server(options: argparse.Namespace, observed: Observed) -> Server:
    where = f"{options.host} port {options.port}" if options.port else options.host
    try:
        return Server((options.host, options.port), observed)
    except OSError as error:
        raise Failed(f"cannot listen on {where}: {error.strerror or error}") from None
    except ValueError:
        raise Failed(f"cannot listen on {where}: that is no address") from None


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say_the_end(observed: Observed) -> None:
    """Says, as the page does, that the process has ended."""
    version, is_over = -1, False
    while not is_over:
        look, is_over = observed.newer(version, 3600), observed.closed
        version = look.version
        if look.ended:
            pid = observed.hello["pid"]
            print(f"ferrio: process {pid} has ended; the page keeps what was seen last", file=sys.stderr, flush=True)
            return


@contextlib.contextmanager
def _browser(address: str) -> Iterator[None]:
    """Opens a browser, if there is one, by a private file: the arguments of a command can be read by other users."""
    text = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={address}">'
    page: Path | None = None
    # The name is known before there is a file: Ctrl-C may come at any moment, and leaves none.
    try:
        try:
            page = Path(make_own_directory(), f"console-{secrets.token_hex(8)}.html")
            with open(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            address_of_page = page.as_uri()
        except (OSError, Unsafe):
            address_of_page = None
        if address_of_page and ("DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ or sys.platform == "darwin"):
            threading.Thread(target=webbrowser.open, args=(address_of_page,), daemon=True).start()
        yield
    finally:
        if page is not None:
            with contextlib.suppress(OSError):
                page.unlink()
