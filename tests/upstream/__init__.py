"""The test suites of aiohttp, uvicorn, anyio and what stands on it, on ferrio and on stock asyncio; see README.md.

A difference is a fault unless expected.toml names it with its reason. Not part of `make test`: `make upstream` runs it.
"""
