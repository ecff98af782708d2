"""The database servers that programs talk to: private ones, for one module of tests, where they are installed."""

from collections.abc import Iterator

import pytest

from benches.applications import peers


def _started(name: str) -> Iterator[str]:
    if missing := peers.missing(name):
        pytest.skip(f"needs {missing}: scripts/install_servers.sh")
    with peers.PEERS[name]() as address:
        yield address


@pytest.fixture(scope="module")
def redis_socket() -> Iterator[str]:
    yield from _started("redis")


@pytest.fixture(scope="module")
def postgresql_directory() -> Iterator[str]:
    yield from _started("postgresql")
