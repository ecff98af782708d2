"""The processes in which the programs of this folder are forked."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def prepared_processes() -> Iterator[None]:
    """They are there before the first test looks for what it leaves open."""
    pytest.importorskip("anyio")
    from tests.anyio.programs import prepared

    processes = [prepared(native) for native in (False, True)]
    yield
    prepared.cache_clear()
    for process in processes:
        process.end()
