"""Loop policy: who decides which loop a program gets, and how to choose another one.

Shown here: choosing the loop with `loop_factory`, which is the way today, and with an event loop policy, which was
the way before: installing one, writing one, and putting the old one back.

    python loop_policy.py                   with whatever loop this Python makes
    python loop_policy.py --policy ferrio   with ferrio's policy and loop, if ferrio is installed

Policies are deprecated since Python 3.14 and will be gone in 3.16; everything here still works until then. The
program counts the loops it makes, and finds the one that somebody forgot to close.
"""

import argparse
import asyncio
import importlib
import warnings
from collections.abc import Callable
from typing import Any


def quietly(name: str, *arguments: Any) -> Any:
    """Use one of asyncio's names about policies without the warning that Python 3.14 has for each of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        value = getattr(asyncio, name)
        return value(*arguments) if arguments or not isinstance(value, type) else value


class RememberingPolicy(quietly("AbstractEventLoopPolicy")):  # type: ignore[misc]
    """A policy of one's own: it leaves the work to another one, and remembers every loop that was made."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.made: list[asyncio.AbstractEventLoop] = []

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Called by asyncio.run and asyncio.new_event_loop."""
        loop: asyncio.AbstractEventLoop = self._inner.new_event_loop()
        self.made.append(loop)
        return loop

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of this thread."""
        loop: asyncio.AbstractEventLoop = self._inner.get_event_loop()
        return loop

    def set_event_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Choose the loop of this thread."""
        self._inner.set_event_loop(loop)

    def __getattr__(self, name: str) -> Any:
        """Whatever else some Python version asks a policy for, such as child watchers before 3.14."""
        return getattr(self._inner, name)


async def work(kind: type[asyncio.AbstractEventLoop]) -> str:
    """Something to run, which looks at the loop it runs on."""
    await asyncio.sleep(0.01)
    return f"the work is done, by a loop of the chosen kind: {type(asyncio.get_running_loop()) is kind}"


def choose(name: str) -> tuple[Any, Callable[[], asyncio.AbstractEventLoop]]:
    """The policy and the loop factory of that name."""
    if name == "default":
        return quietly("get_event_loop_policy"), asyncio.new_event_loop
    try:
        ferrio = importlib.import_module("ferrio")
    except ImportError:
        raise SystemExit("--policy ferrio: ferrio is not installed") from None
    return ferrio.EventLoopPolicy(), ferrio.new_event_loop


def with_a_factory(factory: Callable[[], asyncio.AbstractEventLoop]) -> type[asyncio.AbstractEventLoop]:
    """The way today: say which loop you want where you run it. asyncio.run takes it too, since Python 3.12."""
    with asyncio.Runner(loop_factory=factory) as runner:
        kind = type(runner.get_loop())
        print(f"  {runner.run(work(kind))}")
        return kind


def with_a_policy(chosen: Any, kind: type[asyncio.AbstractEventLoop]) -> None:
    """The way before: install a policy for the whole process, and every loop comes from there."""
    before = quietly("get_event_loop_policy")
    policy = RememberingPolicy(chosen)
    quietly("set_event_loop_policy", policy)
    try:
        print(f"  {asyncio.run(work(kind))}")
        forgotten = asyncio.new_event_loop()
        print(f"  {forgotten.run_until_complete(work(kind))}")
        print(f"  loops made: {len(policy.made)}, closed: {[loop.is_closed() for loop in policy.made]}")
        for loop in policy.made:
            loop.close()
    finally:
        quietly("set_event_loop_policy", before)
    print(f"  the old policy is back: {quietly('get_event_loop_policy') is before}")


def main() -> None:
    """Run the same work both ways."""
    parser = argparse.ArgumentParser(description="Choosing the event loop.")
    parser.add_argument("--policy", choices=["default", "ferrio"], default="default", help="whose loops to use")
    policy, factory = choose(parser.parse_args().policy)
    print("with a factory:")
    kind = with_a_factory(factory)
    print("with a policy:")
    with_a_policy(policy, kind)


if __name__ == "__main__":
    main()
