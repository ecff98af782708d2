"""`simulate`: a decorator that makes an ordinary test of an async function."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from ferrio._pytest_plugin import session
from ferrio.testing import _explore

AsyncTest = Callable[..., Coroutine[Any, Any, None]]


def simulate(
    function: AsyncTest | None = None,
    /,
    *,
    schedules: int = 1000,
    seconds: float | None = None,
    order: Literal["loop", "contract", "any"] = "contract",
    sleeps: Literal["exact", "io"] = "exact",
    cancel: Literal["sweep"] | _explore.ChosenTasks | None = None,
    stall: float = 0.005,
    seed: int = 0,
    io: Literal["simulated", "real"] = "simulated",
    leftovers: Literal["report", "fail"] = "report",
    unseen: float = 0.0,
) -> Any:
    """Make a test of an async test function: it explores the function's schedules and fails with the first that does.

    The arguments are those of `explore`. pytest's fixtures and parameters reach the function as they would without;
    they are made once for all schedules. The decorator also serves methods of `unittest.TestCase`. With `io="real"` the
    function runs once, as `run` runs it: in virtual time, with the system's sockets, children and threads.
    """
    if io not in ("simulated", "real"):
        raise ValueError(f"io is 'simulated' or 'real', not {io!r}")
    options: dict[str, Any] = {
        "schedules": schedules,
        "seconds": seconds,
        "order": order,
        "sleeps": sleeps,
        "cancel": cancel,
        "stall": stall,
        "seed": seed,
        "leftovers": leftovers,
        "unseen": unseen,
    }

    def decorate(function: AsyncTest) -> Callable[..., None]:
        @functools.wraps(function)
        def test(*arguments: Any, **keywords: Any) -> None:
            def main() -> Coroutine[Any, Any, None]:
                return function(*arguments, **keywords)

            if io == "real":
                _explore.run(main, seed=session.get("seed") or seed, io="real", leftovers=leftovers)
                return
            token = session.get("replay")
            if token is not None:
                _explore.replay(main, token, leftovers=leftovers).check()
                return
            given = {name: value for name, value in session.items() if value is not None}
            _explore.explore(main, **(options | given)).check()

        return test

    return decorate if function is None else decorate(function)
