"""Finds the schedule in which the pool of test_pool.py loses a connection, replays it, and tries the mended pool.

    python -m examples.schedules.find

Needs ferrio, which explores the schedules of the program on its own event loop.
"""

import sys

from ferrio import testing

from .test_pool import MendedPool, Pool, borrow_twice

# How often the schedule is replayed: it fails each time, or the story is worth nothing.
REPLAYS = 20


class NotFoundError(Exception):
    """The exploration did not end as it should."""


def find() -> tuple[str, int, int]:
    """The failure as a story, the number of its schedule, and how many schedules the mended pool passes."""
    report = testing.explore(lambda: borrow_twice(Pool("connection")))
    if report.failure is None:
        raise NotFoundError(f"no failure in {report.schedules} schedules")
    token = report.failure.token
    for _ in range(REPLAYS):
        replayed = testing.replay(lambda: borrow_twice(Pool("connection")), token)
        if replayed.failure is None:
            raise NotFoundError(f"the replay of {token} passed")
    mended = testing.explore(lambda: borrow_twice(MendedPool("connection")))
    if mended.failure is not None:
        raise NotFoundError(f"the mended pool fails:\n{mended.failure}")
    return str(report.failure), report.schedules, mended.schedules


def main() -> int:
    """Show the story."""
    try:
        story, schedule, passed = find()
    except NotFoundError as failure:
        print(failure)
        return 1
    print(story)
    print(f"\nfound in schedule {schedule}; replayed {REPLAYS} times, failed {REPLAYS} times")
    print(f"the mended pool passes {passed} schedules")
    return 0


if __name__ == "__main__":
    sys.exit(main())
