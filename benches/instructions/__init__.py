"""How many instructions an operation takes, beside another build of ferrio: what a busy machine cannot disturb.

    python -m benches.instructions --baseline ../other/.venv/bin/python     each row on both builds, and the ratios
    python -m benches.instructions --only queue --only lock                 some rows, this build alone
    python -m benches.instructions --baseline PYTHON --json FILE            all figures, in a file as well

`make instructions BASELINE=PYTHON` builds this one first. BASELINE is the interpreter of an environment that holds the
other build, for instance one made in a worktree of the commit to compare with; both builds must be of the same profile
and for the same Python, or the figures say nothing about the change between them.

Each row runs in a process of its own under callgrind, without address randomization and with a fixed hash seed: first
to warm up, then N times, then 2N times. What is printed is (count(2N) - count(N)) / N, so start and end of a row cancel
out. It is counted twice: all user instructions of the process, and those in the extension's own object file, which is
where a change of ferrio's own cost shows. What the kernel does is not counted.

`marks.c` and `marks.py` dump the counts from within the process, `rows.py` has the rows, `measured.py` is the process
under callgrind, `counting.py` starts it and reads what it left. Needs valgrind with its headers and a C compiler; the
uvicorn row needs uvicorn and httptools in both environments.
"""
