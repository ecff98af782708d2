"""What whole programs gain: web servers, database clients and a scraper, on asyncio, uvloop and ferrio.

    python -m benches.applications                                   everything whose packages and servers are here
    python -m benches.applications --only aiohttp --rounds 5 --seconds 3

The program that is measured has one core, its peer another where there is one. Each round runs each implementation in
a fresh process, in turn. Two ratios to uvloop are printed: operations in a second, and operations in a second of the
program's own processor time, which says the same on a machine that has other things to do.
"""
