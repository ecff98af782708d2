"""The pytest plugin: options for tests that `ferrio.testing.simulate` made, and one for tests that block a loop.

Without them it does nothing. pytest imports it in every session, so it imports nothing of `ferrio.testing` or
`ferrio.inspect`.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from ferrio import _fail_on_block, _views

# What the options say, for as long as the session lasts.
session: dict[str, Any] = {}

_OPTIONS = {"seed": "ferrio_seed", "schedules": "ferrio_schedules", "replay": "ferrio_replay"}


def pytest_addoption(parser: Any) -> None:
    """Adds the options."""
    group = parser.getgroup("ferrio", "tests of schedules (ferrio.testing)")
    group.addoption("--ferrio-seed", type=int, default=None, help="seed of the random part of each exploration")
    group.addoption("--ferrio-schedules", type=int, default=None, help="how many schedules each test runs at most")
    group.addoption(
        "--ferrio-replay", default=None, metavar="TOKEN|FILE", help="run the schedule of a token, or a recording, only"
    )
    group.addoption(
        "--ferrio-fail-on-block",
        default=None,
        metavar="LIMIT",
        help="fail each test in which a callback blocks one of ferrio's loops for longer, such as 50ms",
    )


def pytest_configure(config: Any) -> None:
    """Hands the options to the tests."""
    given = {name: config.getoption(option, None) for name, option in _OPTIONS.items()}
    if any(value is not None for value in given.values()):
        session.update(given)
    limit = config.getoption("ferrio_fail_on_block", None)
    if limit is not None:
        try:
            _fail_on_block.begin(_views.seconds(limit))
        except ValueError as error:
            raise pytest.UsageError(f"--ferrio-fail-on-block: {error}") from None


def _fails_if_blocked(item: Any) -> Iterator[None]:
    """Around a part of a test: fails it if it would have passed."""
    if item.config.getoption("ferrio_fail_on_block", None) is None:
        yield
        return
    before = _fail_on_block.count()
    outcome: Any = yield
    found = _fail_on_block.text(before)
    if found is not None and outcome.excinfo is None:
        outcome.force_exception(pytest.fail.Exception(found, pytrace=False))


pytest_runtest_setup = pytest.hookimpl(hookwrapper=True)(_fails_if_blocked)
pytest_runtest_call = pytest.hookimpl(hookwrapper=True)(_fails_if_blocked)
pytest_runtest_teardown = pytest.hookimpl(hookwrapper=True)(_fails_if_blocked)


def pytest_unconfigure() -> None:
    """Forgets them."""
    session.clear()
