"""CPU work in processes: pure Python that computes for long needs processors of its own.

Shown here: `run_in_executor` with a `ProcessPoolExecutor`, several jobs at once, a mixed load of processes and
threads, and exceptions that come back from another process.

The program counts the ways to put n queens on a chess board so that none attacks another. The work is cut by the
column of the first queen, one job for each.
"""

import asyncio
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def count(size: int, columns: int, left: int, right: int) -> int:
    """How many ways there are to fill the remaining rows. The three sets of attacked squares are bits of integers."""
    if columns == (1 << size) - 1:
        return 1
    ways = 0
    free = ~(columns | left | right) & ((1 << size) - 1)
    while free:
        queen = free & -free
        free ^= queen
        ways += count(size, columns | queen, (left | queen) << 1, (right | queen) >> 1)
    return ways


def solutions_with_first_queen_at(size: int, column: int) -> int:
    """The job of one process. It has to be a function of a module, so that the other process can find it by name."""
    if not 0 <= column < size:
        raise ValueError(f"column {column} is off the board")
    queen = 1 << column
    return count(size, queen, queen << 1, queen >> 1)


async def main() -> None:
    """Solve the puzzle on all processors while the loop is free for other things."""
    loop = asyncio.get_running_loop()
    size = 8
    with ProcessPoolExecutor(max_workers=2) as pool:
        jobs = [loop.run_in_executor(pool, solutions_with_first_queen_at, size, column) for column in range(size)]

        # A mixed load: while the processes compute, a thread writes a file and the loop itself keeps time.
        with tempfile.TemporaryDirectory() as folder:
            note = Path(folder, "note.txt")
            written, _ = await asyncio.gather(
                asyncio.to_thread(note.write_text, "eight queens"),
                asyncio.sleep(0.01),
            )
            print(f"a thread wrote {written} characters meanwhile")

        counts = await asyncio.gather(*jobs)
        print(f"first queen in column 1 to {size}: {counts}")
        print(f"{size} queens: {sum(counts)} solutions")

        # The exception is sent over from the process that raised it.
        try:
            await loop.run_in_executor(pool, solutions_with_first_queen_at, size, 11)
        except ValueError as error:
            print(f"failed in a process: {error}")


# Without this guard each new process, which may import this file, would start the program again.
if __name__ == "__main__":
    asyncio.run(main())
