"""Counts the instructions of an operation on two builds of ferrio, which a busy machine does not affect.

    python -m benches.instructions --baseline ../other/.venv/bin/python     each row on both builds, and the ratios
    python -m benches.instructions --only queue --only lock                 some rows, on this build only
    python -m benches.instructions --baseline PYTHON --json FILE            also writes all figures to a file

`make instructions BASELINE=PYTHON` builds this one first. BASELINE is the interpreter of an environment that has the
other build installed, for example one created in a worktree of the commit to compare with. Both builds must have the
same profile and the same Python, or the figures say nothing about the change between them.

Each row runs in a process of its own under callgrind, without address randomization and with a fixed hash seed: first
to warm up, then N times, then 2N times. The result is (count(2N) - count(N)) / N, so the start and end of a row cancel
out. It counts twice: all user instructions of the process, and those in the extension's own object file, which show
changes in ferrio's own cost. It does not count the kernel's instructions.

`marks.c` and `marks.py` dump the counts from within the process, `rows.py` has the rows, `measured.py` is the process
under callgrind, `counting.py` starts it and reads the dumps. Needs valgrind with its headers and a C compiler; the
rows of servers need uvicorn and httptools, and aiohttp, in both environments.
"""
