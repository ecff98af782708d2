"""MCP's SDK: a server with one tool, on standard input and output: `IMPLEMENTATION`."""

import asyncio
import sys

from ...workload import loop_factory


async def serve() -> None:
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError:  # the SDK before 2.0
        from mcp.server.fastmcp import FastMCP as MCPServer
    server = MCPServer("adder")

    @server.tool()
    async def add(a: int, b: int) -> int:
        """The sum."""
        return a + b

    await server.run_stdio_async()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory(sys.argv[1])) as runner:
        runner.run(serve())
