"""Load for the servers of `connections`: raw sockets, one message in flight on each, no asyncio.

    python -m benches.clients PORT echo SIZE CONNECTIONS TIMES     TIMES messages on each connection
    python -m benches.clients PORT connect SIZE 1 TIMES            TIMES connections with one message each
    python -m benches.clients PORT tls-echo ...                    the same with TLS, likewise tls-connect

Prints messages per second.
"""

import select
import socket
import ssl
import sys
import time


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def echo(port: int, message: bytes, connections: int, times: int) -> int:
    poll = select.epoll()
    open_: dict[int, tuple[socket.socket, int, int]] = {}
    for _ in range(connections):
        sock = connect(port)
        poll.register(sock, select.EPOLLIN)
        open_[sock.fileno()] = (sock, times, len(message))
        sock.sendall(message)
    while open_:
        for number, _ in poll.poll():
            sock, left, missing = open_[number]
            missing -= len(sock.recv(missing))
            if missing:
                open_[number] = (sock, left, missing)
            elif left > 1:
                open_[number] = (sock, left - 1, len(message))
                sock.sendall(message)
            else:
                del open_[number]
                sock.close()
    return connections * times


def connections_one_by_one(port: int, message: bytes, _: int, times: int) -> int:
    for _ in range(times):
        with connect(port) as sock:
            sock.sendall(message)
            assert sock.recv(len(message)) == message
    return times


def secured(sock: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock)


def tls_echo(port: int, message: bytes, connections: int, times: int) -> int:
    socks = [secured(connect(port)) for _ in range(connections)]
    for _ in range(times):
        for sock in socks:
            sock.sendall(message)
        for sock in socks:
            missing = len(message)
            while missing:
                missing -= len(sock.recv(missing))
    for sock in socks:
        sock.close()
    return connections * times


def tls_connections_one_by_one(port: int, message: bytes, _: int, times: int) -> int:
    for _ in range(times):
        with secured(connect(port)) as sock:
            sock.sendall(message)
            assert sock.recv(len(message)) == message
    return times


KINDS = {
    "echo": echo,
    "connect": connections_one_by_one,
    "tls-echo": tls_echo,
    "tls-connect": tls_connections_one_by_one,
}

if __name__ == "__main__":
    port, kind, size, count, times = sys.argv[1:]
    message = b"x" * (int(size) - 1) + b"\n"
    run = KINDS[kind]
    began = time.perf_counter()
    operations = run(int(port), message, int(count), int(times))
    print(operations / (time.perf_counter() - began))
