"""Measures whole programs: web servers, database clients and a scraper, on asyncio, uvloop and ferrio.

    python -m benches.applications                                   all whose packages and servers are installed
    python -m benches.applications --only aiohttp --rounds 5 --seconds 3

The measured program has one core, and its peer another if there is one. Each round runs each implementation in a fresh
process, in turn. Two ratios to uvloop are printed: operations per second, and operations per second of the program's
own processor time, which is the same on a busy machine.
"""
