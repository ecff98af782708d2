"""Tools that lean on parts of asyncio: clocks, re-entrant loops, another framework's loop, watchers of blocking."""

import sys

import pytest

from tests.interop import running

ENTERED = "(('inner', True), ('run', True), ('beside', True))"
SHOWN = {
    "freezegun": ["('woke', 3601.0, '2030-01-01T01:00:01')"],
    "time_machine": ["(3600.0, True, 'slept')"],
    "trio_asyncio": ["('item', [1, 2])"],
    "nest_asyncio": [ENTERED, "True"],
    "nest_asyncio2": [ENTERED, "True"],
    "blockbuster": ["b'/\\n'", "b'/\\n'", "caught"],
}


@pytest.mark.parametrize("tool", [pytest.param(tool, marks=running.needs(tool)) for tool in SHOWN])
def test_a_tool_works_as_on_asyncio(mode: str, tool: str) -> None:
    if tool == "nest_asyncio" and sys.version_info >= (3, 14):
        pytest.skip("nest_asyncio does not know Python 3.14")
    if mode == "debug" and tool != "trio_asyncio":
        pytest.skip("asyncio's debug mode speaks of the time that the tool changes")
    # asyncio's own loop comes second, where that is not pointed out.
    second = [ENTERED] if tool.startswith("nest") and mode in ("stock", "loop") else []
    assert running.run(mode, "tools.py", tool) == SHOWN[tool] + second
