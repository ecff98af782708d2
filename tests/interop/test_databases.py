"""redis-py, asyncpg and psycopg against servers of their own."""

import pytest

from tests.interop import running
from tests.interop.servers import postgresql_directory, postgresql_port, redis_ports, redis_socket

__all__ = ["postgresql_directory", "postgresql_port", "redis_ports", "redis_socket"]


@pytest.fixture(autouse=True)
def no_child_stays_behind() -> None:
    """The servers are children of this process, until the last test of this file; programs check their own."""


@running.needs("redis", "hiredis")
@pytest.mark.parametrize("hiredis", [True, False], ids=["hiredis", "without"])
def test_redis(mode: str, redis_socket: str, hiredis: bool) -> None:
    program = ["redis_client.py"] if hiredis else ["without.py", "hiredis", "redis_client.py"]
    said = running.run(mode, *program, redis_socket)
    parts = ["commands", "pipelines", "subscriptions", "a full pool", "giving up", "killed ConnectionError"]
    assert said == [f"hiredis {hiredis}", *parts]


@running.needs("asyncpg")
def test_asyncpg(mode: str, postgresql_directory: str) -> None:
    said = running.run(mode, "asyncpg_client.py", postgresql_directory)
    parts = ["queries", "cursors and copies", "notifications", "giving up", "a backend is ended", "pools"]
    assert said == parts


@running.needs("psycopg")
def test_psycopg(mode: str, postgresql_directory: str) -> None:
    said = running.run(mode, "psycopg_client.py", postgresql_directory)
    assert said == ["queries", "pipelines", "copies", "notified extra", "giving up"]


@running.needs("redis", "hiredis")
def test_redis_on_the_network(mode: str, redis_ports: tuple[str, str]) -> None:
    said = running.run(mode, "redis_network.py", *redis_ports)
    used = ["tcp hiredis", "tcp python", "tls hiredis", "tls python"]
    assert said == [*used, "untrusted True", "killed tcp ConnectionError", "killed tls ConnectionError"]


@running.needs("asyncpg", "psycopg", "psycopg_pool")
def test_postgresql_on_the_network(mode: str, postgresql_port: str) -> None:
    said = running.run(mode, "postgresql_network.py", postgresql_port)
    ended = [f"ended in mid-query: {client}" for client in ("asyncpg tcp", "asyncpg tls")]
    streams = ["ended in mid-query: psycopg True"] * 2
    assert said == ["asyncpg tcp False", "asyncpg tls True", *ended, "psycopg True", *streams, "a pool"]
