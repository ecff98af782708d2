"""The programs, as people write them: each uses its library as its manual shows, and nothing of ferrio."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Program:
    """A server that is given `load`, or a client of `peer` (`child`: one that it starts). It needs these packages."""

    needs: tuple[str, ...]
    load: str = ""
    peer: str = ""


PROGRAMS = {
    "aiohttp_server": Program(("aiohttp",), load="http"),
    "uvicorn_plaintext": Program(("uvicorn", "httptools"), load="http"),
    "fastapi_async": Program(("fastapi", "uvicorn", "httptools"), load="http"),
    "fastapi_def": Program(("fastapi", "uvicorn", "httptools"), load="http"),
    "fastapi_middleware": Program(("fastapi", "uvicorn", "httptools"), load="http"),
    "fastapi_stream": Program(("fastapi", "uvicorn", "httptools"), load="chunked"),
    "websockets_echo": Program(("websockets",), load="websocket"),
    "redis_pipelined": Program(("redis",), peer="redis"),
    "asyncpg_select": Program(("asyncpg",), peer="postgresql"),
    "aiohttp_scraper": Program(("aiohttp",), peer="web"),
    "httpx_get": Program(("httpx",), peer="web"),
    "mcp_stdio": Program(("mcp",), peer="child"),
}
