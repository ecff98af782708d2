"""The clients' servers: a redis-server, a PostgreSQL or a small web server, each private and stopped afterwards."""

import contextlib
import glob
import os
import pwd
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def postgresql(program: str) -> str | None:
    """The path of a PostgreSQL program; Debian installs these in a folder for their version, not in PATH."""
    return shutil.which(program) or next(
        iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"), reverse=True)), None
    )


def missing(peer: str) -> str | None:
    """The program that `peer` needs and this machine lacks, if any."""
    if peer == "redis" and not shutil.which("redis-server"):
        return "redis-server"
    if peer == "postgresql" and not postgresql("postgres"):
        return "PostgreSQL"
    return None


@contextlib.contextmanager
def running(command: list[str], there: Callable[[], bool], **options: object) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        for _ in range(400):
            if there():
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


@contextlib.contextmanager
def redis(*settings: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/redis"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory, *settings]
        with running(command, lambda: listening(path)):
            yield path


@contextlib.contextmanager
def postgres(*settings: str, files: Sequence[str] = (), port: str = "5432") -> Iterator[str]:
    """PostgreSQL without passwords or durability, with copies of `files` next to its data, and not as root."""
    account = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    user: dict[str, Any] = {}
    if account:
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory() as directory:
        data = f"{directory}/data"
        copies = [shutil.copy(file, directory) for file in files]
        if account:
            for name in [directory, *copies]:
                os.chown(name, account.pw_uid, account.pw_gid)
        initdb, server = postgresql("initdb"), postgresql("postgres")
        assert initdb
        assert server
        command = [initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=directory, **user)
        serve = [server, "-D", data, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off"]
        for setting in settings:
            serve += ["-c", setting]
        with running(serve, lambda: listening(f"{directory}/.s.PGSQL.{port}"), cwd=directory, **user):
            time.sleep(0.5)  # it listens before it has recovered
            yield directory


@contextlib.contextmanager
def web() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def serve() -> None:
    """The web server's process: one page for every request, no asyncio."""
    page = b"<html><body>" + b"".join(b'<a href="/%d">page</a>\n' % n for n in range(100)) + b"</body></html>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    listener, poll, open_ = socket.create_server(("127.0.0.1", 0), backlog=1024), select.epoll(), {}
    poll.register(listener, select.EPOLLIN)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_[sock.fileno()] = sock
                poll.register(sock, select.EPOLLIN)
            elif data := open_[number].recv(65536):
                open_[number].sendall(answer * data.count(b"\r\n\r\n"))
            else:
                open_.pop(number).close()


PEERS: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    "redis": redis,
    "postgresql": postgres,
    "web": web,
}

if __name__ == "__main__":
    serve()
