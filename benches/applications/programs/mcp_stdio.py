"""MCP's SDK: a client calls a tool of a server, its child process, over standard input and output.

The processor time is the client's. The server runs on the same implementation (`mcp_server.py`).
"""

import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

CALLS = 10


@contextlib.asynccontextmanager
async def connected(implementation: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    arguments = ["-m", "benches.applications.programs.mcp_server", implementation]
    parameters = StdioServerParameters(command=sys.executable, args=arguments)
    async with stdio_client(parameters) as (reading, writing), ClientSession(reading, writing) as session:
        await session.initialize()

        async def operate() -> int:
            for _ in range(CALLS):
                await session.call_tool("add", {"a": 1, "b": 2})
            return CALLS

        yield operate
