"""Programs of everyday kinds: the faulty ones are found and classified, and of the correct ones none is reported."""

import pytest

from ferrio import testing
from tests.testing_package.common_faults import COMMON
from tests.testing_package.orderly_programs import ORDERLY


@pytest.mark.parametrize(
    ("program", "classification", "within"), COMMON, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_common_fault_is_found_and_classified(program, classification, within):
    testing.run(program)
    report = testing.explore(program)
    assert report.failure is not None
    assert report.found_after <= within
    assert report.failure.classification == classification
    again = testing.replay(program, report.failure.token)
    assert type(again.failure.exception) is type(report.failure.exception)


@pytest.mark.parametrize("order", ["loop", "contract"])
@pytest.mark.parametrize("program", ORDERLY, ids=lambda program: program.__name__)
def test_an_orderly_program_is_not_reported(program, order):
    report = testing.explore(program, order=order, schedules=60)
    assert report.failure is None, str(report)
    assert report.leftovers == []
