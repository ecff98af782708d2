"""The pytest plugin: options for tests that `ferrio.testing.simulate` made. Without them it does nothing.

pytest imports it in every session, so it imports nothing else of `ferrio.testing`.
"""

from typing import Any

# What the options say, for as long as the session lasts.
session: dict[str, Any] = {}

_OPTIONS = {"seed": "ferrio_seed", "schedules": "ferrio_schedules", "replay": "ferrio_replay"}


def pytest_addoption(parser: Any) -> None:
    """Adds the options."""
    group = parser.getgroup("ferrio", "tests of schedules (ferrio.testing)")
    group.addoption("--ferrio-seed", type=int, default=None, help="seed of the random part of each exploration")
    group.addoption("--ferrio-schedules", type=int, default=None, help="how many schedules each test runs at most")
    group.addoption("--ferrio-replay", default=None, metavar="TOKEN", help="run the schedule of a token only")


def pytest_configure(config: Any) -> None:
    """Hands the options to the tests."""
    given = {name: config.getoption(option, None) for name, option in _OPTIONS.items()}
    if any(value is not None for value in given.values()):
        session.update(given)


def pytest_unconfigure() -> None:
    """Forgets them."""
    session.clear()
