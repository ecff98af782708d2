"""The test suites of aiohttp, uvicorn and anyio, on ferrio and on stock asyncio, compared test by test; see README.md.

A difference is a fault unless expected.toml names it with its reason. Not part of `make test`: `make upstream` runs it.
"""
