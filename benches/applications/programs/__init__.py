"""The programs, as people write them: each uses its library as its manual shows, and nothing of ferrio."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Program:
    """A server that is given `load`, or a client of `peer`; it needs these packages."""

    needs: tuple[str, ...]
    load: str = ""
    peer: str = ""


PROGRAMS = {
    "aiohttp_server": Program(("aiohttp",), load="http"),
    "uvicorn_plaintext": Program(("uvicorn", "httptools"), load="http"),
    "websockets_echo": Program(("websockets",), load="websocket"),
    "redis_pipelined": Program(("redis",), peer="redis"),
    "asyncpg_select": Program(("asyncpg",), peer="postgresql"),
    "aiohttp_scraper": Program(("aiohttp",), peer="web"),
}
