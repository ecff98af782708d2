"""pytest's plugins for coroutines: fixtures, loop scopes, failures, with what a test leaves behind made an error."""

from typing import Any

import pytest

from tests.interop import running

KINDS = {"stock": "asyncio.unix_events _asyncio", "loop": "ferrio _asyncio"}
STRICT = ["-W", "error::ResourceWarning", "-W", "error::pytest.PytestUnraisableExceptionWarning"]


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        pytest.param("anyio", ["-p", "anyio"], marks=running.needs("anyio")),
        pytest.param("asyncio", ["-p", "pytest_asyncio.plugin"], marks=running.needs("pytest_asyncio")),
    ],
    ids=["anyio", "pytest-asyncio"],
)
def test_a_plugin(mode: str, plugin: str, options: list[str]) -> None:
    program = running.PROGRAMS / f"plugin_{plugin}.py"
    alone = ["-q", "-c", "/dev/null", "--rootdir", running.PROGRAMS, "--noconftest", "-p", "no:cacheprovider"]
    variables: dict[str, Any] = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "KINDS": KINDS.get(mode, "ferrio ferrio")}
    with running.started(mode, "-m", "pytest", *alone, *STRICT, *options, program, **variables) as tests:
        said = tests.ended()
    assert {"anyio": "6 passed, 1 xfailed", "asyncio": "5 passed, 1 xfailed"}[plugin] in said, said
    assert "warning" not in said, said
