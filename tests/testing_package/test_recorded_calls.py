"""Recordings of what programs ask Python for: TLS, child processes, pipes, datagrams, sendfile, random bytes."""

import pytest

from ferrio import testing
from tests.testing_package import programs_outside
from tests.testing_package.recording_runs import run


class Outcome(Exception):
    """What a program ends with."""


def raising(program):
    async def main():
        raise Outcome(repr(await program()))

    return main


def first_outcome(file, program, **keywords):
    with testing.record(file, bytes=True, **keywords), pytest.raises(Outcome) as first:
        run(raising(program))
    return str(first.value)


@pytest.mark.parametrize("program", programs_outside.PROGRAMS, ids=lambda program: program.__name__)
def test_what_came_from_outside_comes_again(tmp_path, program):
    file = tmp_path / "file"
    first = first_outcome(file, program)
    for _ in range(3):
        report = testing.replay(raising(program), file)
        assert str(report.failure.exception) == first
        assert report.leftovers == []
