"""The database servers that programs talk to: private ones, for one module of tests, where they are installed."""

import socket
from collections.abc import Iterator

import pytest

from benches.applications import peers
from tests.support import certificates


def _need(name: str) -> None:
    if missing := peers.missing(name):
        pytest.skip(f"needs {missing}: scripts/install_servers.sh")


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def redis_tls() -> list[str]:
    """Arguments that give redis-server its certificate and make it ask clients for none."""
    directory = certificates.directory()
    keys = ["--tls-cert-file", f"{directory}/server.pem", "--tls-key-file", f"{directory}/server.key"]
    return [*keys, "--tls-ca-cert-file", f"{directory}/authority.pem", "--tls-auth-clients", "no"]


@pytest.fixture(scope="module")
def redis_socket() -> Iterator[str]:
    _need("redis")
    with peers.redis() as path:
        yield path


@pytest.fixture(scope="module")
def redis_ports() -> Iterator[tuple[str, str]]:
    """The ports of a redis-server on the network: without and with TLS."""
    _need("redis")
    plain, secure = _free_port(), _free_port()
    # Of two settings of the same name redis-server takes the later one.
    with peers.redis("--bind", "127.0.0.1", "--port", plain, "--tls-port", secure, *redis_tls()):
        yield plain, secure


@pytest.fixture(scope="module")
def postgresql_directory() -> Iterator[str]:
    _need("postgresql")
    with peers.postgres() as directory:
        yield directory


@pytest.fixture(scope="module")
def postgresql_port() -> Iterator[str]:
    """The port of a PostgreSQL server that speaks TLS to those who ask for it."""
    _need("postgresql")
    port, directory = _free_port(), certificates.directory()
    settings = ["listen_addresses=127.0.0.1", f"port={port}", "ssl=on"]
    settings += ["ssl_cert_file=../server.pem", "ssl_key_file=../server.key"]
    with peers.postgres(*settings, files=[f"{directory}/server.pem", f"{directory}/server.key"], port=port):
        yield port
