"""redis-py, asyncpg and psycopg against servers of their own."""

import pytest

from tests.interop import running
from tests.interop.servers import postgresql_directory, redis_socket

__all__ = ["postgresql_directory", "redis_socket"]


@pytest.fixture(autouse=True)
def no_child_stays_behind() -> None:
    """The servers are children of this process, until the last test of this file; programs check their own."""


@running.needs("redis", "hiredis")
def test_redis(mode: str, redis_socket: str) -> None:
    said = running.run(mode, "redis_client.py", redis_socket)
    assert said == ["commands", "pipelines", "subscriptions", "a full pool", "giving up", "killed ConnectionError"]


@running.needs("asyncpg")
def test_asyncpg(mode: str, postgresql_directory: str) -> None:
    said = running.run(mode, "asyncpg_client.py", postgresql_directory)
    parts = ["queries", "cursors and copies", "notifications", "giving up", "a backend is ended", "pools"]
    assert said == parts


@running.needs("psycopg")
def test_psycopg(mode: str, postgresql_directory: str) -> None:
    said = running.run(mode, "psycopg_client.py", postgresql_directory)
    assert said == ["queries", "pipelines", "copies", "notified extra", "giving up"]
