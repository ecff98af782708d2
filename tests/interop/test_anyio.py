"""anyio and trio: one on the loop, the other beside it."""

from tests.interop import running

ANYIO = """['first', 'second']
task_groups
timeout
cancel_scopes
threads
memory_streams
processes
sockets
files""".splitlines()
TRIO = "trio is done ['[0, 2, 4, 6, 8]', 'cancelled True', 'sockets', 'child']"


@running.needs("anyio")
def test_anyio(mode: str) -> None:
    assert running.run(mode, "anyio_parts.py") == [*ANYIO, "clean", *ANYIO, "portals"]


@running.needs("trio")
def test_trio_is_a_guest_of_the_loop(mode: str) -> None:
    assert running.run(mode, "trio_guest.py") == [TRIO, TRIO]
