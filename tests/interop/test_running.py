"""The modes are what they say, and what does not end cleanly fails."""

import pytest

from tests.interop import running

KINDS = {
    "stock": "asyncio.unix_events _asyncio False",
    "loop": "ferrio _asyncio False",
    "whole": "ferrio ferrio False",
    "debug": "ferrio ferrio True",
}


def test_a_mode_is_what_it_says(mode: str) -> None:
    assert running.run(mode, "loop_kind.py") == [KINDS[mode]]


@pytest.mark.parametrize(
    ("fault", "sign"),
    [
        ("task", "pending tasks: "),
        ("descriptor", "left behind: "),
        ("resource", "ResourceWarning: unclosed"),
        ("exception", "Task exception was never retrieved"),
    ],
)
def test_what_stays_behind_fails_the_test(mode: str, fault: str, sign: str) -> None:
    with pytest.raises(AssertionError, match=sign):
        running.run(mode, "loop_kind.py", fault)


def test_a_hang_fails_the_test_with_a_traceback() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"no end within(.|\n)*most recent call first(.|\n)*clean\.py"):
        running.run("whole", "loop_kind.py", "hang", limit=3)
